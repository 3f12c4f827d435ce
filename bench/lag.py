"""Event-loop lag as a client sees it: how long `/health` takes while the server is busy with something else."""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from bench.client import Connection

PAUSE = 0.01


class Lag:
    """Seconds that probes took."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __str__(self) -> str:
        if len(self.times) < 2:
            return "no probe"
        return f"p99 {statistics.quantiles(self.times, n=100)[-1] * 1e3:.1f} ms, most {max(self.times) * 1e3:.1f} ms"


@asynccontextmanager
async def probing(port: int) -> AsyncGenerator[Lag]:
    """Probe the server for the length of a block."""
    lag = Lag()

    async def probe() -> None:
        async with Connection(port) as connection:
            while True:
                started = time.perf_counter()
                await connection.request("GET", "/health")
                lag.times.append(time.perf_counter() - started)
                await asyncio.sleep(PAUSE)

    task = asyncio.ensure_future(probe())
    try:
        yield lag
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
