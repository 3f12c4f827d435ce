"""Retrieval: search over stores of several sizes, ingestion against the raw embedder, turns while files are indexed."""

import asyncio
import random
import statistics
import time
from hashlib import sha256
from itertools import count
from pathlib import Path

from bench.client import Connection, timed
from onward.ports.embed import Vectors
from onward.ports.passages import Chunk, DocumentKey, SearchQuery
from onward.retrieval.embed.local import LocalEmbedder
from onward.retrieval.index.sqlite import SqlitePassageIndex

DIMENSIONS = 384
SLICE = 250
WORDS = [f"{a}{b}{c}" for a in ("ar", "be", "co", "di", "en", "fo") for b in ("lan", "mor", "nik", "pol", "rus", "tam")
         for c in ("a", "e", "is", "on", "um")]  # fmt: skip


def sentence(source: random.Random, words: int) -> str:
    """Return a sentence of made-up words, the frequent ones more often."""
    return " ".join(source.choice(WORDS[: source.randint(8, len(WORDS))]) for _ in range(words)).capitalize() + "."


def text(source: random.Random, sentences: int) -> str:
    """Return paragraphs of sentences."""
    lines = [sentence(source, source.randint(8, 20)) for _ in range(sentences)]
    return "\n\n".join(" ".join(lines[start : start + 6]) for start in range(0, len(lines), 6))


def vectors(rows: int, seed: int) -> Vectors:
    """Return random unit vectors."""
    import numpy as np

    values = np.random.default_rng(seed).standard_normal((rows, DIMENSIONS)).astype("<f4")
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Vectors(rows, DIMENSIONS, values.tobytes())


async def search(data: Path, chunks: int, queries: int = 60) -> float:
    """Return the median seconds of a hybrid search over one store of so many chunks, the query's embedding excluded."""
    index = SqlitePassageIndex(data)
    source = random.Random(1)
    try:
        key = DocumentKey(sha256=sha256(b"%d" % chunks).hexdigest(), type="txt", recipe="r", model="m", title="t")
        document = (await index.begin(1, key)).document
        for start in range(0, chunks, SLICE):
            part = [
                Chunk(ordinal=number, start=number * 100, end=number * 100 + 99, text=text(source, 6))
                for number in range(start, min(chunks, start + SLICE))
            ]
            await index.put_chunks(1, document, part, vectors(len(part), start))
        await index.finish(1, document, chunks=chunks)
        await index.link(1, chunks, 1, document)
        times: list[float] = []
        for number in range(queries + 5):
            query = SearchQuery(texts=[sentence(source, 7)], vectors=vectors(1, number), model="m")
            started = time.perf_counter()
            found = await index.search(1, [chunks], query)
            times.append(time.perf_counter() - started)
            assert found
        return statistics.median(times[5:])
    finally:
        await index.aclose()


async def raw_embedder(data: Path, characters: int) -> float:
    """Return characters a second that the embedder alone embeds, in windows as ingestion cuts them."""
    embedder = LocalEmbedder(data)
    source = random.Random(2)
    windows = [text(source, 6)[:900] for _ in range(characters // 900)]
    try:
        await embedder.embed(windows[:8], lane="ingest")
        started = time.perf_counter()
        await embedder.embed(windows, lane="ingest")
        return sum(map(len, windows)) / (time.perf_counter() - started)
    finally:
        await embedder.aclose()


_runs = count(3)
"""A seed for each ingestion: the same content would be linked, not embedded again."""


async def ingestion(port: int, characters: int, file_characters: int = 60_000) -> float:
    """Return characters a second that uploaded files are indexed at, from the first attach to the last completion."""
    source = random.Random(next(_runs))
    async with Connection(port) as connection:
        files = [
            await _upload(connection, text(source, file_characters // 90)) for _ in range(characters // file_characters)
        ]
        total = sum(size for _, size in files)
        started = time.perf_counter()
        await _index(connection, [file_id for file_id, _ in files])
        return total / (time.perf_counter() - started)


async def _upload(connection: Connection, content: str) -> tuple[str, int]:
    import msgspec

    boundary = b"bench-boundary"
    body = (
        b'--%b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n%b\r\n--%b--\r\n'
        % (boundary, boundary, content.encode(), boundary)
    )
    kind = b"multipart/form-data; boundary=" + boundary
    answer = await connection.request("POST", "/v1/files", body, content_type=kind)
    return msgspec.json.decode(answer)["id"], len(content)


async def _index(connection: Connection, ids: list[str]) -> None:
    import msgspec

    store = msgspec.json.decode(await connection.request("POST", "/v1/vector_stores", {"name": "b"}))["id"]
    path = f"/v1/vector_stores/{store}/file_batches"
    batch = msgspec.json.decode(await connection.request("POST", path, {"file_ids": ids}))
    while batch["status"] == "in_progress":
        await asyncio.sleep(0.05)
        batch = msgspec.json.decode(await connection.request("GET", f"{path}/{batch['id']}"))
    assert batch["file_counts"]["failed"] == 0, batch


async def turns_while_indexing(port: int, indexing_port: int, seconds: float = 12.0) -> tuple[float, float]:
    """Return the 99th percentile of a turn's seconds, idle and while another process indexes files."""
    body = {"model": "m", "input": "What is the weather like in the capital today?"}

    async def measure(until: float, done: asyncio.Event | None) -> list[float]:
        times: list[float] = []
        async with Connection(port) as connection:
            while time.perf_counter() < until and not (done and done.is_set()):
                times.append((await timed(connection, body))[0])
                await asyncio.sleep(0.005)
        return times

    idle = await measure(time.perf_counter() + seconds / 2, None)
    done = asyncio.Event()

    async def index() -> None:
        await ingestion(indexing_port, 400_000)
        done.set()

    task = asyncio.ensure_future(index())
    busy = await measure(time.perf_counter() + seconds, done)
    await task
    return statistics.quantiles(idle, n=100)[-1], statistics.quantiles(busy, n=100)[-1]
