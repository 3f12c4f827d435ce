"""A process of its own on a shared store, for the tests with several processes: `hammer.py JOB DIRECTORY ARGUMENTS...`.

It waits for a line on stdin before it starts, and prints one JSON line for each thing the store acknowledged.
"""

import asyncio
import json
import sys
from pathlib import Path

from building import after, begin, ending, message, new_run, on

from onward.core.errors import ConversationLocked
from onward.store.sqlite.store import ProjectStore, open_store


def tell(**facts: object) -> None:
    """Print what was acknowledged."""
    print(json.dumps(facts), flush=True)


async def fork(project: ProjectStore, parent: str) -> None:
    """Begin one turn after `parent`, then finish it once told to."""
    base = await project.runs.base(after(parent))
    await asyncio.to_thread(sys.stdin.readline)
    new = new_run(base, after(parent), [message("user", "q")])
    lease = await project.runs.begin(new)
    tell(suffix=new.suffix, log=lease.log)
    await asyncio.to_thread(sys.stdin.readline)
    await project.runs.end(lease, ending([message("assistant", new.suffix)]))
    tell(ended=new.suffix)


async def lock(project: ProjectStore, conversation: str, rounds: str) -> None:
    """Try to run a turn on a conversation, round after round, all processes at once."""
    for number in range(int(rounds)):
        await asyncio.to_thread(sys.stdin.readline)
        try:
            suffix, lease = await begin(project, on(conversation), [message("user", str(number))])
        except ConversationLocked:
            tell(round=number, won=False)
            await asyncio.to_thread(sys.stdin.readline)
            continue
        tell(round=number, won=True, suffix=suffix)
        await asyncio.to_thread(sys.stdin.readline)
        await project.runs.end(lease, ending([message("assistant", str(number))]))
        tell(ended=suffix)


async def chain(project: ProjectStore, turns: str) -> None:
    """Run turns one after another, telling each as it is acknowledged; the last item's id is told too."""
    suffix: str | None = None
    for number in range(int(turns)):
        parent = after(suffix) if suffix else None
        answer = message("assistant", f"answer {number} " + "x" * 500)
        suffix, lease = await begin(project, parent, [message("user", str(number))])
        await project.runs.end(lease, ending([answer]))
        tell(suffix=suffix, turn=number, item=answer.id)


JOBS = {"fork": fork, "lock": lock, "chain": chain}


async def main(job: str, directory: str, *arguments: str) -> None:
    """Run one job."""
    async with open_store(Path(directory), node="hammer") as store:
        tell(ready=True)
        await asyncio.to_thread(sys.stdin.readline)
        await JOBS[job](store.for_project(store.default_project), *arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
