"""The whole room: files in, passages out, interruptions and repeats included."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from onward.ports.embed import Embedder, EmbedError, Lane, Vectors
from onward.ports.filters import decode_filter
from onward.ports.library import Ranking, Source
from onward.ports.parse import ParseError, Recipe
from onward.ports.passages import Weights
from onward.retrieval import library
from onward.retrieval.embed.local import LocalEmbedder
from onward.retrieval.extract import extract_answer
from onward.retrieval.index.sqlite import SqlitePassageIndex
from onward.retrieval.library import PassageLibrary
from onward.retrieval.parse.pool import ParserPool
from onward.retrieval.query import make_queries

POLICY = """# Refund policy

## Full refunds

You may return unused goods within 30 days of delivery for a full refund.

## Partial refunds

A partial refund is between 40 % and 80 % of the purchase price.

## Digital goods

E-books and templates can be returned only until the first download.
"""
LEAVE = "Every employee has 28 days of paid leave. Unused days expire on 31 March of the following year."
LONG = "\n\n".join(
    f"Section {n} of the manual describes part {n * 13} of the machine in detail." * 5 for n in range(300)
)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small document take several slices."""
    monkeypatch.setattr(library, "SLICE_WINDOWS", 8)


class Counting(Embedder):
    """The real embedder, which counts texts and fails when told to."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.texts = 0
        self.fail_after: int | None = None

    @property
    def model(self) -> str:
        return self._inner.model

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    async def embed(self, texts: Sequence[str], *, lane: Lane) -> Vectors:
        if self.fail_after is not None and self.texts >= self.fail_after:
            raise EmbedError("told to fail")
        self.texts += len(texts)
        return await self._inner.embed(texts, lane=lane)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Room:
    """Everything over one folder."""

    def __init__(self, folder: Path, model_dir: Path) -> None:
        self.folder = folder
        self.embedder = Counting(LocalEmbedder(model_dir, linger=0.5))
        self.index = SqlitePassageIndex(folder)
        self.parser = ParserPool()
        self.library = PassageLibrary(parser=self.parser, embedder=self.embedder, index=self.index)

    def source(self, name: str, text: str) -> Source:
        path = self.folder / hashlib.sha256(text.encode()).hexdigest()
        path.write_text(text)
        return Source(path, path.name, name)

    async def aclose(self) -> None:
        await self.index.aclose()
        await self.parser.aclose()
        await self.embedder.aclose()


def run(folder: Path, model_dir: Path, body: Callable[[Room], Awaitable[None]]) -> None:
    async def main() -> None:
        room = Room(folder, model_dir)
        try:
            await body(room)
        finally:
            await room.aclose()

    asyncio.run(main())


def test_questions_find_their_passages_and_a_follow_up_its_section(tmp_path: Path, model_dir: Path) -> None:
    async def body(room: Room) -> None:
        for file, (name, text) in enumerate({"refund-policy.md": POLICY, "leave.txt": LEAVE}.items()):
            state = await room.library.ingest(1, room.source(name, text))
            await room.index.link(1, 1, file, state.document, attributes={"kind": name.split(".")[0]})
        messages = ["What does our refund policy say about partial refunds?", "And for digital goods specifically?"]
        for upto, words in ((1, "between 40 % and 80 %"), (2, "only until the first download")):
            passages = await room.library.search(1, [1], make_queries(messages[:upto]))
            assert passages[0].file == 0 and passages[0].score > 0.5 > passages[1].score
            assert words in extract_answer(messages[:upto], passages).text
        (leave, *_) = await room.library.search(1, [1], ["How much vacation do people get?"])
        assert (leave.file, leave.title) == (1, "leave")
        unrelated = await room.library.search(1, [1], ["Who painted the Mona Lisa?"])
        assert all(p.score < 0.05 for p in unrelated)
        only = decode_filter({"type": "eq", "key": "kind", "value": "leave"})
        assert {p.file for p in await room.library.search(1, [1], messages, filter=only)} == {1}
        ranking = Ranking(limit=1, weights=Weights(0.0, 1.0))
        assert [p.file for p in await room.library.search(1, [1], ["templates"], ranking=ranking)] == [0]
        assert await room.library.search(1, [1], ["  "]) == []

    run(tmp_path, model_dir, body)


def test_the_same_content_is_embedded_once_in_a_project(tmp_path: Path, model_dir: Path) -> None:
    async def body(room: Room) -> None:
        source = room.source("leave.txt", LEAVE)
        first = await room.library.ingest(1, source)
        count = room.embedder.texts
        assert (await room.library.ingest(1, source)).document == first.document
        assert room.embedder.texts == count
        other = await room.library.ingest(1, source, recipe=Recipe(100, 0))
        assert other.document != first.document and room.embedder.texts > count
        assert (await room.library.ingest(2, source)).document != first.document

    run(tmp_path, model_dir, body)


def test_an_interrupted_ingestion_goes_on_where_it_stopped(tmp_path: Path, model_dir: Path) -> None:
    async def body(room: Room) -> None:
        source = room.source("manual.txt", LONG)
        room.embedder.fail_after = 16
        seen: list[tuple[int, int]] = []

        async def progress(done: int, total: int) -> None:
            seen.append((done, total))

        with pytest.raises(EmbedError, match="told to fail"):
            await room.library.ingest(1, source, progress=progress)
        stopped = seen[-1][0]
        assert 0 < stopped < seen[-1][1]
        before = room.embedder.texts
        room.embedder.fail_after = None
        state = await room.library.ingest(1, source, progress=progress)
        assert state.ready and state.chunks == seen[-1][1] == seen[-1][0]
        prepared = await room.parser.prepare(source.path, filename=source.filename)
        assert room.embedder.texts - before <= len(prepared.windows) - 8
        assert "".join(piece.text for piece in await room.index.contents(1, state.document)) == LONG

    run(tmp_path, model_dir, body)


def test_a_resumed_document_equals_an_uninterrupted_one(tmp_path: Path, model_dir: Path) -> None:
    async def body(room: Room) -> None:
        source = room.source("manual.txt", LONG)
        room.embedder.fail_after = 16
        with pytest.raises(EmbedError):
            await room.library.ingest(1, source)
        room.embedder.fail_after = None
        for project in (1, 2):
            state = await room.library.ingest(project, source)
            await room.index.link(project, 1, 1, state.document)
        question = ["Which section describes part 1300?"]
        one, two = [await room.library.search(project, [1], question) for project in (1, 2)]
        assert [(p.ordinal, p.text, round(p.score, 2)) for p in one] == [
            (p.ordinal, p.text, round(p.score, 2)) for p in two
        ]

    run(tmp_path, model_dir, body)


def test_faults_of_files_and_recipes_are_told(tmp_path: Path, model_dir: Path) -> None:
    async def body(room: Room) -> None:
        with pytest.raises(ParseError, match="empty"):
            await room.library.ingest(1, room.source("a.txt", ""))
        with pytest.raises(ValueError, match="between"):
            await room.library.ingest(1, room.source("a.txt", "x"), recipe=Recipe(5, 0))

    run(tmp_path, model_dir, body)


def test_a_progress_that_raises_stops_the_ingestion(tmp_path: Path, model_dir: Path) -> None:
    async def body(room: Room) -> None:
        async def progress(done: int, total: int) -> None:
            raise LookupError("cancelled")

        with pytest.raises(LookupError):
            await room.library.ingest(1, room.source("manual.txt", LONG), progress=progress)

    run(tmp_path, model_dir, body)
