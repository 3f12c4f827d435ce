"""Background runs and streams that are told again: what they cost beyond a foreground stream."""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack

from bench.client import Connection
from bench.processes import tree_pss


async def first_event(port: int, body: dict[str, object]) -> tuple[float, str]:
    """Return the seconds to the first event of a stream, and the response's id."""
    seen: list[float] = []
    started = time.perf_counter()
    async with Connection(port) as connection:
        answer = await connection.request(
            "POST", "/v1/responses", body, on_data=lambda data: seen.append(time.perf_counter()) if data else None
        )
    start = answer.index(b'"id":"resp_') + 6
    return seen[0] - started, answer[start : answer.index(b'"', start)].decode()


async def first_events(port: int, count: int = 60) -> tuple[float, float]:
    """Return the median seconds to the first event, in the foreground and in the background, in alternation."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        for background, found in enumerate(times):
            body: dict[str, object] = {"model": "m", "input": "x", "stream": True, "background": bool(background)}
            found.append((await first_event(port, body))[0])
    return statistics.median(times[0]), statistics.median(times[1])


async def told_again(port: int, response_id: str, after: int, count: int = 60) -> float:
    """Return the median seconds to the first event of a stored stream after event number `after`."""
    times: list[float] = []
    for _ in range(count):
        seen: list[float] = []
        started = time.perf_counter()
        async with Connection(port) as connection:
            await connection.request(
                "GET",
                f"/v1/responses/{response_id}?stream=true&starting_after={after}",
                on_data=lambda data, seen=seen: seen.append(time.perf_counter()) if data else None,
            )
        times.append(seen[0] - started)
    return statistics.median(times)


async def idle_streams(port: int, process: int, count: int = 1000) -> int:
    """Return the bytes of memory of a server with so many streams open whose model says nothing."""
    body = {"model": "m", "input": "x", "stream": True, "background": True}

    async with AsyncExitStack() as stack:
        begun: list[asyncio.Event] = []
        tasks: list[asyncio.Task[bytes]] = []
        for _ in range(count):
            connection = await stack.enter_async_context(Connection(port))
            event = asyncio.Event()
            begun.append(event)
            request = connection.request("POST", "/v1/responses", body, on_data=lambda _, event=event: event.set())
            tasks.append(asyncio.create_task(request))
        await asyncio.gather(*(event.wait() for event in begun))
        await asyncio.sleep(1)
        memory = tree_pss(process)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return memory
