"""Streams: relayed tokens a second, time to the first token, and paced streams against the ideal."""

import asyncio
import statistics
import time

from msgspec import Struct

from bench.client import Connection

DELTA = b"event: response.output_text.delta\n"


class Relayed(Struct, frozen=True):
    """What a number of parallel streams took. `deltas` counts frames with text, over all streams."""

    tokens_per_second: float
    first_token: float
    seconds: float
    deltas: int


async def relay(port: int, streams: int, *, tokens: int, rounds: int = 1) -> Relayed:
    """Run parallel streams to their end; the first of the rounds warms up when there are several."""
    results = [await _round(port, streams, tokens) for _ in range(rounds)]
    return max(results[1:] or results, key=lambda result: result.tokens_per_second)


async def _round(port: int, streams: int, tokens: int) -> Relayed:
    firsts: list[float] = []
    deltas = 0

    async def one() -> None:
        nonlocal deltas
        started = time.perf_counter()
        seen = False

        def on_data(data: bytes) -> None:
            nonlocal seen
            if not seen and (b"word" in data):
                seen = True
                firsts.append(time.perf_counter() - started)

        async with Connection(port) as connection:
            body = {"model": "m", "input": "Tell me a story.", "stream": True}
            content = await connection.request("POST", "/v1/responses", body, on_data=on_data)
        deltas += content.count(DELTA)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(streams)))
    seconds = time.perf_counter() - started
    return Relayed(streams * tokens / seconds, statistics.median(firsts), seconds, deltas)
