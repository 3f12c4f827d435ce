"""Runs the checks of a program one after the other; each line of the output is a check that held."""

import asyncio
from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[None]]


def run_checks(*checks: Check) -> None:
    """Run every check in one event loop. Raises what the first check that does not hold raises."""

    async def run() -> None:
        for check in checks:
            await check()
            print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)

    asyncio.run(run())
