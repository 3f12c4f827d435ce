"""Documents, links and search of the index, on a real file."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from rows import MODEL, add, ask, chunks_of, document_key, matrix, opened, unit

from onward.ports.filters import decode_filter
from onward.ports.passages import SearchQuery, Weights
from onward.retrieval.index.sqlite import SqlitePassageIndex

Body = Callable[[SqlitePassageIndex], Awaitable[None]]


def run(path: Path, body: Body) -> None:
    async def main() -> None:
        index = opened(path)
        try:
            await body(index)
        finally:
            await index.aclose()

    asyncio.run(main())


def test_an_interrupted_document_goes_on_and_repeats_change_nothing(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        texts = ["alpha one", "beta two", "gamma three"]
        rows = [unit(1), unit(0, 1), unit(0, 0, 1)]
        state = await index.begin(1, document_key("d"))
        assert (state.ready, state.chunks) == (False, 0)
        await index.put_chunks(1, state.document, chunks_of(texts[:2]), matrix(rows[:2]))
        again = await index.begin(1, document_key("d"))
        assert (again.document, again.ready, again.chunks) == (state.document, False, 2)
        with pytest.raises(ValueError, match="2 of 3"):
            await index.finish(1, state.document, chunks=3)
        with pytest.raises(ValueError, match="gap"):
            await index.put_chunks(1, state.document, chunks_of(["x"], first=5), matrix(rows[:1]))
        await index.put_chunks(1, state.document, chunks_of(texts[:2]), matrix(rows[:2]))
        await index.put_chunks(1, state.document, chunks_of(texts[2:], first=2), matrix(rows[2:]))
        done = await index.finish(1, state.document, chunks=3)
        assert done.ready and done.usage_bytes == sum(map(len, texts)) + 3 * 8
        await index.put_chunks(1, state.document, chunks_of(["changed"]), matrix(rows[:1]))
        await index.link(1, 1, 7, state.document)
        found = await ask(index, "gamma", vector=unit(0, 0, 1))
        assert found[0].text == "gamma three" and len(found) == 3
        assert all(p.text != "changed" for p in found)

    run(tmp_path, body)


def test_slices_must_be_whole(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        state = await index.begin(1, document_key("d"))
        with pytest.raises(ValueError, match="2 windows with 1 vectors"):
            await index.put_chunks(1, state.document, chunks_of(["a", "b"]), matrix([unit(1)]))
        broken = [*chunks_of(["a"]), *chunks_of(["c"], first=2)]
        with pytest.raises(ValueError, match="consecutive"):
            await index.put_chunks(1, state.document, broken, matrix([unit(1)] * 2))
        apart = [replace(chunk, windows=(3 * chunk.ordinal, 3 * chunk.ordinal + 2)) for chunk in chunks_of(["a", "b"])]
        with pytest.raises(ValueError, match="without gaps"):
            await index.put_chunks(1, state.document, apart, matrix([unit(1)] * 5))
        with pytest.raises(KeyError):
            await index.put_chunks(1, 999, chunks_of(["a"]), matrix([unit(1)]))

    run(tmp_path, body)


def test_nothing_unfinished_can_be_linked(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        state = await index.begin(1, document_key("d"))
        await index.put_chunks(1, state.document, chunks_of(["alpha"]), matrix([unit(1)]))
        with pytest.raises(ValueError, match="not ready"):
            await index.link(1, 1, 7, state.document)
        with pytest.raises(KeyError):
            await index.link(1, 1, 7, 999)
        assert await ask(index, "alpha") == []

    run(tmp_path, body)


def test_unlinking_is_seen_at_once_by_another_process_of_the_store(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        other = opened(tmp_path)
        try:
            await add(index, ["alpha text"], name="a", file=1)
            await add(index, ["alpha again"], name="b", file=2)
            assert {p.file for p in await ask(other, "alpha")} == {1, 2}
            assert await index.unlink(1, 1, 1) and not await index.unlink(1, 1, 1)
            assert {p.file for p in await ask(other, "alpha")} == {2}
            await add(index, ["alpha third"], name="c", file=3)
            assert {p.file for p in await ask(other, "alpha")} == {2, 3}
            assert await index.drop_store(1, 1) >= 2
            assert await ask(other, "alpha") == []
            await add(index, ["alpha text"], name="a", file=1)
            assert {p.file for p in await ask(other, "alpha")} == {1}
        finally:
            await other.aclose()

    run(tmp_path, body)


def test_projects_and_stores_are_apart(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        first = await add(index, ["alpha"], name="a", file=1, project=1, store=1)
        second = await add(index, ["alpha"], name="a", file=1, project=2, store=1)
        assert first != second
        await add(index, ["alpha other"], name="b", file=2, project=1, store=2)
        assert [p.document for p in await ask(index, "alpha", project=2)] == [second]
        assert {p.store for p in await ask(index, "alpha", stores=[1, 2])} == {1, 2}
        assert await index.document_state(2, first) is None
        assert await index.contents(2, first) == []
        assert await ask(index, "alpha", project=3) == []

    run(tmp_path, body)


def test_counts_and_bytes_follow_the_links(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        await add(index, ["one", "two"], name="a", file=1)
        await add(index, ["one", "two"], name="a", file=2)
        await add(index, ["three"], name="b", file=3)
        size = 6 + 2 * 8
        assert await index.chunk_count(1, 1) == 5
        assert await index.usage_bytes(1, 1) == 2 * size + 5 + 8
        assert await index.file_usage_bytes(1, 1, 2) == size
        await add(index, ["three"], name="b", file=2)
        assert await index.chunk_count(1, 1) == 4
        assert await index.unlink_file(1, 1) == 1
        assert await index.chunk_count(1, 1) == 2
        assert (await index.chunk_count(1, 9), await index.file_usage_bytes(1, 1, 1)) == (0, 0)

    run(tmp_path, body)


def test_the_same_content_in_two_files_comes_once(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        await add(index, ["alpha"], name="a", file=5, attributes={"lang": "en"})
        await add(index, ["alpha"], name="a", file=3, attributes={"lang": "de"})
        await add(index, ["alpha"], name="a", file=9, store=2)
        assert [p.file for p in await ask(index, "alpha", stores=[1, 2])] == [3]
        english = decode_filter({"type": "eq", "key": "lang", "value": "en"})
        assert [(p.file, p.attributes) for p in await ask(index, "alpha", filter=english)] == [(5, {"lang": "en"})]

    run(tmp_path, body)


def test_filters_apply_before_the_ranking(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        for file in range(30):
            await add(
                index,
                [f"alpha {file}"],
                name=f"n{file}",
                file=file,
                attributes={"n": float(file), "even": file % 2 == 0},
            )
        rare = decode_filter(
            {
                "type": "and",
                "filters": [{"type": "gte", "key": "n", "value": 27}, {"type": "eq", "key": "even", "value": True}],
            }
        )
        assert [p.file for p in await ask(index, "alpha", filter=rare, limit=3)] == [28]
        assert await index.set_attributes(1, 1, 3, {"n": 99.0, "even": True})
        assert {p.file for p in await ask(index, "alpha", filter=rare, limit=3)} == {3, 28}
        assert not await index.set_attributes(1, 1, 777, {})

    run(tmp_path, body)


def test_threshold_limit_and_weights(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        await add(index, ["wombat habits"], name="words", file=1, vectors=[unit(0, 1)])
        await add(index, ["nothing of the kind"], name="meaning", file=2, vectors=[unit(1)])
        await add(index, ["entirely elsewhere"], name="none", file=3, vectors=[unit(0, 0, 1)])
        by_words = await ask(index, "wombat", weights=Weights(0.0, 1.0))
        by_meaning = await ask(index, "wombat", weights=Weights(1.0, 0.0))
        assert (by_words[0].file, by_meaning[0].file) == (1, 2)
        assert all(0 <= p.score <= 1 for p in by_words + by_meaning)
        assert [p.file for p in await ask(index, "wombat", weights=Weights(0.0, 1.0), threshold=0.5)] == [1]
        assert len(await ask(index, "wombat", limit=2)) == 2

    run(tmp_path, body)


def test_documents_of_another_vector_space_are_found_by_words(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        await add(index, ["wombat habits"], name="old", file=1, model="former-space")
        await add(index, ["zebra stripes"], name="new", file=2)
        found = await ask(index, "wombat habits", vector=unit(0, 1))
        assert found[0].file == 1 and found[0].score > found[1].score

    run(tmp_path, body)


def test_several_wordings_are_fused(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        await add(index, ["partial refund rules"], name="a", file=1, vectors=[unit(0, 1)])
        await add(index, ["digital goods refund rules"], name="b", file=2, vectors=[unit(0, 1)])
        texts = ["digital goods", "partial refund rules digital goods"]
        query = SearchQuery(texts=texts, vectors=matrix([unit(1)] * 2), model=MODEL)
        found = await index.search(1, [1], query)
        assert found[0].file == 2
        with pytest.raises(ValueError, match="2 texts with 1 vectors"):
            await index.search(1, [1], SearchQuery(texts=texts, vectors=matrix([unit(1)]), model=MODEL))

    run(tmp_path, body)


def test_contents_leave_the_overlap_out(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        from onward.ports.passages import Chunk

        text = "abcdefghijklmnopqrstuvwxyz"
        spans = [(0, 12), (6, 18), (12, 26)]
        state = await index.begin(1, document_key("d"))
        chunks = [Chunk(ordinal=i, start=a, end=b, text=text[a:b]) for i, (a, b) in enumerate(spans)]
        await index.put_chunks(1, state.document, chunks, matrix([unit(1)] * 3))
        await index.finish(1, state.document, chunks=3)
        await index.link(1, 1, 4, state.document)
        assert "".join(c.text for c in await index.contents(1, state.document)) == text
        assert "".join(c.text for c in await index.file_contents(1, 1, 4) or []) == text
        assert await index.file_contents(1, 1, 5) is None

    run(tmp_path, body)


def test_sweep_takes_only_what_nothing_links_to(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        kept = await add(index, ["alpha"] * 5, name="a", file=1)
        gone = await add(index, ["beta"] * 5, name="b", file=2)
        await index.unlink(1, 1, 2)
        assert await index.sweep() == 0, "fresh orphans wait: an ingestion may be about to link them"
        while await index.sweep(older_than=-1, limit=4):
            pass
        assert await index.document_state(1, gone) is None
        assert (await index.contents(1, gone), len(await index.contents(1, kept))) == ([], 5)
        assert await add(index, ["beta"] * 5, name="b", file=2) > gone, "keys are never used again"

    run(tmp_path, body)


def test_erase_removes_content_and_links(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        secret = "unmistakable-secret-phrase"
        await add(index, [secret], name="a", file=1)
        await add(index, [secret], name="a", file=2, store=2)
        assert await ask(index, secret)
        assert await index.erase(1, "a") == 1
        assert await ask(index, secret, stores=[1, 2]) == []
        assert (await index.chunk_count(1, 1), await index.erase(1, "a")) == (0, 0)

    run(tmp_path, body)
    held = b"".join(path.read_bytes() for path in tmp_path.glob("index.db*"))
    assert b"unmistakable-secret-phrase" not in held


def test_a_large_store_compacts_what_was_unlinked(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        for name in range(30):
            await add(index, [f"alpha {name} {i}" for i in range(100)], name=f"n{name}", file=name)
        assert len(await ask(index, "alpha", limit=50)) == 50
        for name in range(25):
            await index.unlink(1, 1, name)
        found = await ask(index, "alpha", limit=50)
        assert {p.file for p in found} <= set(range(25, 30)) and len(found) == 50
        assert index.cached_rows == 500

    run(tmp_path, body)


def test_chunks_that_share_windows_are_stored_in_any_slices(tmp_path: Path) -> None:
    async def body(index: SqlitePassageIndex) -> None:
        texts = [f"chunk {n}" for n in range(5)]
        chunks = [replace(chunk, windows=(2 * chunk.ordinal, 2 * chunk.ordinal + 3)) for chunk in chunks_of(texts)]
        axes = [unit(*[float(i == n % 8) for i in range(8)]) for n in range(11)]
        for name, slices in {"whole": [(0, 5)], "cut": [(0, 1), (1, 3), (2, 5)]}.items():
            state = await index.begin(1, document_key(name))
            for first, last in slices:
                rows = axes[2 * first : 2 * last + 1]
                await index.put_chunks(1, state.document, chunks[first:last], matrix(rows))
            done = await index.finish(1, state.document, chunks=5)
            assert done.usage_bytes == sum(map(len, texts)) + 11 * 8
            await index.link(1, state.document, 1, state.document)
            for n, axis in enumerate(axes[3:7], 3):
                found = await ask(index, "x", stores=[state.document], vector=axis, weights=Weights(1, 0))
                near = {p.ordinal for p in found if p.score > 0.9}
                assert {c.ordinal for c in chunks if c.windows and c.windows[0] <= n < c.windows[1]} <= near
                assert len(near) <= 2 + (n == 2)

    run(tmp_path, body)
