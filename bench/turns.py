"""Turns without streaming: latency, throughput, depth, re-sent histories, reads, and the bytes that state takes."""

import asyncio
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

import msgspec

from bench.client import Connection, timed

QUESTION = "What is the weather like in the capital today?"
TOOLS = [
    {
        "type": "function",
        "name": f"tool_{number}",
        "description": "Looks something up in a register and returns what it says. " * 6,
        "parameters": {"type": "object", "properties": {"key": {"type": "string", "description": "What to look up."}}},
    }
    for number in range(40)
]
"""About 20 kB of tools."""


async def latency(port: int, count: int = 400) -> float:
    """Return the median seconds of sequential turns."""
    async with Connection(port) as connection:
        body = {"model": "m", "input": QUESTION}
        for _ in range(40):
            await timed(connection, body)
        return statistics.median([(await timed(connection, body))[0] for _ in range(count)])


async def throughput(port: int, clients: int, total: int = 1500) -> float:
    """Return turns a second with so many clients."""
    body = msgspec.json.encode({"model": "m", "input": QUESTION})

    async def work() -> None:
        async with Connection(port) as connection:
            for _ in range(total // clients):
                await connection.request("POST", "/v1/responses", body)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return total // clients * clients / (time.perf_counter() - started)


def settled_bytes(data: Path) -> int:
    """Return the bytes in use of the databases of turns, as they are once their write-ahead logs are folded in."""
    total = 0
    for path in (data / "state.db", data / "events.db"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            pages, free, size = (
                int(database.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        total += (pages - free) * size
    return total


async def chain(port: int, depth: int, *, tools: bool = False, stream: bool = False) -> list[float]:
    """Return the seconds of each turn of a chain by previous_response_id."""
    times: list[float] = []
    previous: str | None = None
    async with Connection(port) as connection:
        for turn in range(depth):
            body: dict[str, object] = {"model": "m", "input": f"{QUESTION} ({turn})", "previous_response_id": previous}
            if tools:
                body["tools"] = TOOLS
            if stream:
                body["stream"] = True
            seconds, answer = await timed(connection, body)
            times.append(seconds)
            start = answer.index(b'"id":"resp_') + 6
            previous = answer[start : answer.index(b'"', start)].decode()
    return times


async def resent(port: int, depth: int) -> list[float]:
    """Return the seconds of each turn where the client sends the whole history again."""
    history: list[dict[str, object]] = []
    times: list[float] = []
    async with Connection(port) as connection:
        for turn in range(depth):
            history.append({"role": "user", "content": f"{QUESTION} ({turn})"})
            seconds, answer = await timed(connection, {"model": "m", "input": history})
            times.append(seconds)
            text = msgspec.json.decode(answer)["output"][0]["content"][0]["text"]
            history.append({"role": "assistant", "content": text})
    return times


async def upstream_alone(port: int, path: str, depths: dict[int, int]) -> dict[int, float]:
    """Return, by depth, the median seconds that the upstream itself takes for a history of that depth."""
    found: dict[int, float] = {}
    async with Connection(port) as connection:
        for depth, repeats in depths.items():
            turns = [
                message
                for turn in range(depth)
                for message in (
                    {"role": "user", "content": f"{QUESTION} ({turn})"},
                    {"role": "assistant", "content": "It depends on the day and on the weather there."},
                )
            ]
            body = msgspec.json.encode({"model": "m", "messages": turns[:-1]})
            found[depth] = statistics.median([(await timed(connection, body, path))[0] for _ in range(repeats)])
    return found


async def reads(port: int, count: int = 500) -> float:
    """Return the median seconds of GET of a stored response."""
    async with Connection(port) as connection:
        answer = msgspec.json.decode((await timed(connection, {"model": "m", "input": QUESTION}))[1])
        times: list[float] = []
        for _ in range(count):
            started = time.perf_counter()
            await connection.request("GET", f"/v1/responses/{answer['id']}")
            times.append(time.perf_counter() - started)
        return statistics.median(times)
