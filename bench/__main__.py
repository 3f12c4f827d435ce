"""`make bench`: every measure in one run, as a table. `--only turns,streams` runs a part, `--write` keeps the table."""

import argparse
import asyncio
import statistics
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from bench import resume, retrieval, streams, turns
from bench.lag import probing
from bench.processes import Server, running, tree_pss

RESULTS = Path(__file__).with_name("RESULTS.md")
Row = tuple[str, str, str, str]
"""Measure, ours, floor or reference, ratio."""


class Run:
    """One run: a scratch directory, and servers as they are needed."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.rows: list[Row] = []
        self._number = 0

    def data(self) -> Path:
        """Return a fresh data directory."""
        self._number += 1
        return self.scratch / f"data{self._number}"

    def onward(self, upstream: str, data: Path) -> AbstractContextManager[Server]:
        """Run our server."""
        arguments = ["-m", "onward", "serve", "--port", "{port}", "--data", str(data)]
        return running(arguments, {"OPENAI_BASE_URL": upstream, "ONWARD_LOG_LEVEL": "error"}, ready="/health")

    def floor(self, upstream: str) -> AbstractContextManager[Server]:
        """Run the floor."""
        self._number += 1
        database = str(self.scratch / f"floor{self._number}.db")
        return running(["-m", "bench.floor"], {"UPSTREAM": upstream, "FLOOR_DB": database})

    def add(self, measure: str, ours: str, reference: str = "", ratio: float | None = None) -> None:
        """Add a row and show it."""
        row = (measure, ours, reference, f"{ratio:.2f}x" if ratio is not None else "")
        self.rows.append(row)
        print(" | ".join(row), flush=True)


def upstream_url(server: Server, tokens: int = 200, pause: int = 0) -> str:
    """Return the base URL of the mock upstream for streams of so many tokens."""
    return f"http://127.0.0.1:{server.port}/n/{tokens}/p/{pause}/v1"


async def start_up(run: Run, upstream: Server) -> None:
    """Cold start and idle memory."""
    starts: list[float] = []
    memory = 0
    data = run.data()
    for _ in range(5):
        with run.onward(upstream_url(upstream), data) as server:
            starts.append(server.started_in)
            memory = max(memory, tree_pss(server.process))
    run.add("cold start to the first 200", f"{statistics.median(starts):.2f} s")
    run.add("idle memory (PSS, no file indexed)", f"{memory / 2**20:.0f} MB")


async def turn_costs(run: Run, upstream: Server) -> None:
    """Latency and throughput, in alternation with the floor."""
    url = upstream_url(upstream)
    with run.floor(url) as floor, run.onward(url, run.data()) as ours:
        pairs = [(await turns.latency(floor.port), await turns.latency(ours.port)) for _ in range(3)]
        low, high = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
        run.add("POST /responses, sequential p50", f"{high:.2f} ms", f"{low:.2f} ms", high / low)
        for clients in (1, 16, 64):
            rates: list[tuple[float, float]] = []
            async with probing(ours.port) as lag:
                for _ in range(3):
                    theirs = await turns.throughput(floor.port, clients)
                    rates.append((theirs, await turns.throughput(ours.port, clients)))
            theirs, rate = (statistics.median(side) for side in zip(*rates, strict=True))
            run.add(f"requests/s at {clients}", f"{rate:.0f}", f"{theirs:.0f}", rate / theirs)
            run.add(f"event-loop lag, {clients} clients", str(lag))
        run.add("GET /responses/{id} p50", f"{await turns.reads(ours.port) * 1e3:.2f} ms")


async def stream_costs(run: Run, upstream: Server) -> None:
    """Relayed tokens, first tokens, and paced streams."""
    for tokens in (200, 2000):
        url = upstream_url(upstream, tokens)
        with run.floor(url) as floor, run.onward(url, run.data()) as ours:
            for count in (1, 32) if tokens == 2000 else (1, 32, 128):
                theirs = await streams.relay(floor.port, count, tokens=tokens, rounds=4)
                async with probing(ours.port) as lag:
                    mine = await streams.relay(ours.port, count, tokens=tokens, rounds=4)
                assert mine.deltas == count * tokens, "a delta was merged or lost"
                run.add(
                    f"relayed tokens/s, {count} streams of {tokens}",
                    f"{mine.tokens_per_second:.0f}",
                    f"{theirs.tokens_per_second:.0f}",
                    mine.tokens_per_second / theirs.tokens_per_second,
                )
                run.add(f"event-loop lag, {count} streams of {tokens}", str(lag))
                run.add(
                    f"time to the first token, {count} streams of {tokens}",
                    f"{mine.first_token * 1e3:.1f} ms",
                    f"{theirs.first_token * 1e3:.1f} ms",
                    mine.first_token / theirs.first_token,
                )
    url = upstream_url(upstream, 100, 10)
    with run.floor(url) as floor, run.onward(url, run.data()) as ours:
        theirs = await streams.relay(floor.port, 128, tokens=100, rounds=2)
        mine = await streams.relay(ours.port, 128, tokens=100, rounds=2)
        run.add(
            "128 streams paced at 10 ms, 100 tokens (ideal 1.00 s)",
            f"{mine.seconds:.2f} s",
            f"{theirs.seconds:.2f} s",
            mine.seconds / theirs.seconds,
        )


async def resume_costs(run: Run, upstream: Server) -> None:
    """Background runs against foreground ones, streams told again, and streams that wait."""
    with run.onward(upstream_url(upstream, 200), run.data()) as ours:
        foreground, background = await resume.first_events(ours.port)
        run.add(
            "first event of a background stream",
            f"{background * 1e3:.2f} ms",
            f"{foreground * 1e3:.2f} ms (foreground)",
            background / foreground,
        )
    with run.onward(upstream_url(upstream, 2000), run.data()) as ours:
        _, response_id = await resume.first_event(ours.port, {"model": "m", "input": "x", "stream": True})
        for after in (-1, 1990):
            seconds = await resume.told_again(ours.port, response_id, after)
            run.add(f"2,000 events told again after event {after}, first one", f"{seconds * 1e3:.2f} ms")
    with run.onward(upstream_url(upstream, 2, 60_000), run.data()) as ours:
        memory = await resume.idle_streams(ours.port, ours.process)
        run.add("1,000 streams that wait (PSS)", f"{memory / 2**20:.0f} MB")


async def depth(run: Run, upstream: Server) -> None:
    """Turns at depth: time net of the upstream's own, and the bytes that state takes."""
    url = upstream_url(upstream, 20)
    path = "/n/20/p/0/v1/chat/completions"
    kinds: list[tuple[str, dict[str, bool]]] = [
        ("chain", {}), ("chain with 20 kB of tools", {"tools": True}), ("chain, streamed", {"stream": True}),
    ]  # fmt: skip
    alone = await turns.upstream_alone(upstream.port, path, {10: 60, 400: 60})
    for name, options in kinds:
        data = run.data()
        with run.onward(url, data) as ours:
            await turns.chain(ours.port, 20, **options)
            before = turns.settled_bytes(data)
            times = await turns.chain(ours.port, 400, **options)
            after = turns.settled_bytes(data)
        early = statistics.median(times[5:25]) - alone[10]
        late = statistics.median(times[385:400]) - alone[400]
        run.add(f"{name}: turn 400 against turn 10, net", f"{late * 1e3:.2f} ms", f"{early * 1e3:.2f} ms", late / early)
        content = 0 if options.get("stream") else 100
        run.add(f"{name}: state a turn beyond the content", f"{(after - before) / 400 - content:.0f} bytes")
    await _resent(run, url)


async def _resent(run: Run, url: str) -> None:
    sizes: list[float] = []
    for send in (turns.chain, turns.resent):
        data = run.data()
        with run.onward(url, data) as ours:
            await send(ours.port, 5)
            before = turns.settled_bytes(data)
            await send(ours.port, 200)
            sizes.append(turns.settled_bytes(data) - before)
    run.add(
        "200 turns, whole history re-sent: state", f"{sizes[1] / 200:.0f} bytes a turn",
        f"{sizes[0] / 200:.0f} (chained)", sizes[1] / sizes[0],
    )  # fmt: skip


async def search_costs(run: Run, _upstream: Server) -> None:
    """Search at three sizes."""
    for chunks in (1_000, 10_000, 100_000):
        data = run.data()
        data.mkdir()
        seconds = await retrieval.search(data, chunks)
        run.add(f"search p50 at {chunks} chunks, embedding excluded", f"{seconds * 1e3:.2f} ms")


async def ingestion_costs(run: Run, upstream: Server) -> None:
    """Ingestion against the raw embedder, and turns while another process indexes."""
    data = run.data()
    with run.onward(upstream_url(upstream), data) as ours:
        await retrieval.ingestion(ours.port, 60_000)
        rates = [
            (await retrieval.raw_embedder(data, 240_000), await retrieval.ingestion(ours.port, 240_000))
            for _ in range(3)
        ]
        raw, rate = (statistics.median(side) for side in zip(*rates, strict=True))
        run.add("ingestion, characters/s", f"{rate:.0f}", f"{raw:.0f} (embedder alone)", rate / raw)
        with run.onward(upstream_url(upstream), data) as other:
            idle, busy = await retrieval.turns_while_indexing(ours.port, other.port)
        run.add(
            "p99 of a turn while another process indexes",
            f"{busy * 1e3:.1f} ms",
            f"{idle * 1e3:.1f} ms idle",
            busy / idle,
        )


PARTS: dict[str, Callable[[Run, Server], Awaitable[None]]] = {
    "start": start_up,
    "turns": turn_costs,
    "streams": stream_costs,
    "resume": resume_costs,
    "depth": depth,
    "search": search_costs,
    "ingestion": ingestion_costs,
}


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown, with the commit and the day."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    head = f"`make bench` at {commit}, {datetime.now(UTC):%Y-%m-%d}, 2 cores shared with client and upstream\n\n"
    lines = ["| measure | Onward | floor | ratio |", "|---|---|---|---|"]
    return head + "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


async def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of: {', '.join(PARTS)}")
    parser.add_argument("--write", action="store_true", help="put the table at the head of bench/RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, running(["-m", "bench.upstream"], {}) as upstream:
        run = Run(Path(scratch))
        for part in options.only.split(","):
            await PARTS[part](run, upstream)
    if options.write:
        title, _, rest = RESULTS.read_text().partition("\n\n") if RESULTS.exists() else ("# Results", "", "")
        RESULTS.write_text(f"{title}\n\n{table(run.rows)}\n{rest}")


if __name__ == "__main__":
    asyncio.run(main())
