"""The embedder's child process: real model, real processes."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from onward.ports.embed import EmbedError, Vectors
from onward.retrieval.embed import asset, launch
from onward.retrieval.embed.local import LocalEmbedder


def rows(vectors: Vectors) -> list[array[float]]:
    return [array("f", vectors.row(i)) for i in range(vectors.rows)]


def cosine(left: array[float], right: array[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def run(data: Path, body: Callable[[LocalEmbedder], Awaitable[None]], *, linger: float | None = 0.2) -> None:
    async def main() -> None:
        embedder = LocalEmbedder(data, linger=linger)
        try:
            await body(embedder)
        finally:
            await embedder.aclose()

    asyncio.run(main())


def server_pids(data: Path) -> list[int]:
    """Return the processes that serve a data directory's socket."""
    socket = os.fsencode(launch.socket_path(data))
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if socket in arguments and b"onward.retrieval.embed.server" in arguments:
                    found.append(int(entry.name))
    return found


def until(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_meaning_orders_texts_and_vectors_have_unit_length(model_dir: Path) -> None:
    async def body(embedder: LocalEmbedder) -> None:
        texts = ["How do I get my money back?", "Refunds are paid within ten days.", "Whales are mammals.", ""]
        vectors = await embedder.embed(texts, lane="query")
        assert (vectors.rows, vectors.dimensions, len(vectors.data)) == (4, 384, 4 * 384 * 4)
        question, refund, whale, _ = rows(vectors)
        assert all(abs(cosine(row, row) - 1) < 1e-3 for row in rows(vectors))
        assert cosine(question, refund) > cosine(question, whale) + 0.2
        assert (await embedder.embed([], lane="query")).rows == 0

    run(model_dir, body)


def test_a_text_beyond_the_window_is_not_cut_off(model_dir: Path) -> None:
    async def body(embedder: LocalEmbedder) -> None:
        filler = "The committee met again to discuss the annual budget of the library. " * 60
        ending = "Penguins hatch their eggs on the Antarctic ice in the dark of winter. " * 20
        plain, tailed, topic = rows(await embedder.embed([filler, filler + ending, ending], lane="ingest"))
        assert cosine(tailed, topic) > cosine(plain, topic) + 0.2

    run(model_dir, body)


def test_one_text_has_one_vector_whatever_it_is_batched_with(model_dir: Path) -> None:
    async def body(embedder: LocalEmbedder) -> None:
        texts = [f"{'word ' * (n % 17)}number {n}" for n in range(70)]
        together = rows(await embedder.embed(texts, lane="ingest"))
        for position in (0, 9, 69):
            alone = rows(await embedder.embed([texts[position]], lane="query"))[0]
            assert cosine(alone, together[position]) > 0.97

    run(model_dir, body)


def test_several_clients_share_one_process_which_ends_with_the_last(tmp_path: Path) -> None:
    async def main() -> None:
        embedders = [LocalEmbedder(tmp_path, linger=0.2) for _ in range(4)]
        await asyncio.gather(*(embedder.embed(["hello"], lane="query") for embedder in embedders))
        # Clients that start together may start several processes: those that did not get the lock end at once.
        await asyncio.to_thread(until, lambda: len(server_pids(tmp_path)) == 1)
        pids = server_pids(tmp_path)
        for embedder in embedders:
            await embedder.embed(["again"], lane="query")
            assert server_pids(tmp_path) == pids
            await embedder.aclose()

    asyncio.run(main())
    until(lambda: not server_pids(tmp_path))
    run(tmp_path, lambda embedder: _one(embedder))


async def _one(embedder: LocalEmbedder) -> None:
    assert (await embedder.embed(["hello"], lane="query")).rows == 1


def test_a_killed_process_is_replaced_under_load(tmp_path: Path) -> None:
    async def body(embedder: LocalEmbedder) -> None:
        await embedder.embed(["warm"], lane="query")
        work = asyncio.ensure_future(embedder.embed(["some words " * 80] * 40, lane="ingest"))
        await embedder.embed(["on its way"], lane="query")
        (pid,) = server_pids(tmp_path)
        os.kill(pid, signal.SIGKILL)
        assert (await work).rows == 40
        assert server_pids(tmp_path) != [pid]

    run(tmp_path, body)


def test_a_query_overtakes_ingestion(model_dir: Path) -> None:
    async def body(embedder: LocalEmbedder) -> None:
        work = asyncio.ensure_future(embedder.embed(["some words to embed " * 50] * 150, lane="ingest"))
        for _ in range(5):
            await embedder.embed(["a short question"], lane="query")
        assert not work.done()
        assert (await work).rows == 150

    run(model_dir, body)


def test_a_deep_data_directory_still_has_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    assert len(os.fsencode(launch.socket_path(deep))) <= launch.MAX_SOCKET_PATH
    run(deep, _one)


def test_a_process_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "nowhere"))

    async def body(embedder: LocalEmbedder) -> None:
        with pytest.raises(EmbedError, match="could not start"):
            await embedder.embed(["hello"], lane="query")

    run(tmp_path, body)


def test_the_packaged_model_is_checked(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(asset.read_asset("tokenizer.json")[:-1])
    with pytest.raises(asset.AssetError, match="damaged"):
        asset.read_asset("tokenizer.json", directory=tmp_path)
    with pytest.raises(asset.AssetError, match="cannot be read"):
        asset.read_asset("model.onnx", directory=tmp_path)
