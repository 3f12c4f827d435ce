"""Files in, passages out: parser, embedder and index joined.

Embedding runs ahead of storing, so that the embedder, which limits ingestion, never waits. It knows no public ids
and no state rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from onward.ports.embed import Embedder, Vectors
from onward.ports.filters import Filter
from onward.ports.library import Library, Progress, Ranking, Source
from onward.ports.parse import ChunkSpan, Parser, Prepared, Recipe
from onward.ports.passages import Chunk, DocumentKey, DocumentState, Passage, PassageIndex, SearchQuery
from onward.retrieval.chunk import check_recipe
from onward.retrieval.parse.kinds import extension
from onward.retrieval.title import clean_title

SLICE_WINDOWS = 32
AHEAD = 2
"""Slices under way in the embedder: while one is stored, the next ones run."""
MAX_QUERY = 8000
"""Characters of a query that are looked at."""


class PassageLibrary(Library):
    """Ingests and searches; holds no state of its own."""

    def __init__(self, *, parser: Parser, embedder: Embedder, index: PassageIndex) -> None:
        self._parser = parser
        self._embedder = embedder
        self._index = index

    async def ingest(
        self, project: int, source: Source, *, recipe: Recipe | None = None, progress: Progress | None = None
    ) -> DocumentState:
        """Return a ready document of the file; see Library.ingest."""
        recipe = recipe or Recipe()
        check_recipe(recipe)
        key = DocumentKey(
            sha256=source.sha256,
            type=extension(source.filename) or source.media_type or "",
            recipe=recipe.name,
            model=self._embedder.model,
            title=clean_title(source.filename),
        )
        state = await self._index.begin(project, key)
        if state.ready:
            return state
        prepared = await self._parser.prepare(
            source.path, filename=source.filename, media_type=source.media_type, recipe=recipe
        )
        await self._store(project, state, prepared, progress)
        return await self._index.finish(project, state.document, chunks=len(prepared.chunks))

    async def search(
        self,
        project: int,
        stores: Sequence[int],
        texts: Sequence[str],
        *,
        filter: Filter | None = None,
        ranking: Ranking | None = None,
    ) -> list[Passage]:
        """Return the best passages for wordings of one need; see Library.search."""
        ranking = ranking or Ranking()
        asked = [text[:MAX_QUERY] for text in texts if text.strip()]
        if not asked or not stores:
            return []
        query = SearchQuery(
            texts=asked,
            vectors=await self._embedder.embed(asked, lane="query"),
            model=self._embedder.model,
            filter=filter,
            limit=ranking.limit,
            threshold=ranking.threshold,
            weights=ranking.weights,
            ranker=ranking.ranker,
        )
        return await self._index.search(project, stores, query)

    async def _store(self, project: int, state: DocumentState, prepared: Prepared, progress: Progress | None) -> None:
        """Embed and store the chunks from ``state.chunks`` on, slice by slice."""
        if state.chunks >= len(prepared.chunks):
            return
        done = state.chunks
        held: list[bytes] = []
        first = reached = prepared.chunks[done].first_window
        pending: deque[asyncio.Task[Vectors]] = deque()
        slices = _slices(len(prepared.windows), first)
        texts = window_texts(prepared)
        try:
            while done < len(prepared.chunks):
                while len(pending) < AHEAD and (part := next(slices, None)) is not None:
                    work = self._embedder.embed(texts[part[0] : part[1]], lane="ingest")
                    pending.append(asyncio.ensure_future(work))
                vectors = await pending.popleft()
                held += [vectors.row(row) for row in range(vectors.rows)]
                reached += vectors.rows
                ready = [chunk for chunk in prepared.chunks[done:] if chunk.last_window <= reached]
                if ready:
                    await self._put(project, state.document, prepared, ready, held, first)
                    done += len(ready)
                    keep = prepared.chunks[done].first_window if done < len(prepared.chunks) else reached
                    held, first = held[keep - first :], keep
                if ready and progress is not None:
                    await progress(done, len(prepared.chunks))
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _put(
        self,
        project: int,
        document: int,
        prepared: Prepared,
        spans: Sequence[ChunkSpan],
        held: Sequence[bytes],
        first: int,
    ) -> None:
        start, end = spans[0].first_window - first, spans[-1].last_window - first
        data = b"".join(held[start:end])
        vectors = Vectors(end - start, len(data) // 4 // (end - start), data)
        text = prepared.document.text
        chunks = [
            Chunk(
                ordinal=span.ordinal,
                start=span.start,
                end=span.end,
                text=text[span.start : span.end],
                page=span.page,
                heading=span.heading,
                terms=span.terms,
                windows=(span.first_window, span.last_window),
            )
            for span in spans
        ]
        await self._index.put_chunks(project, document, chunks, vectors)


def _slices(windows: int, first: int) -> Iterator[tuple[int, int]]:
    for start in range(first, windows, SLICE_WINDOWS):
        yield start, min(start + SLICE_WINDOWS, windows)


def window_texts(prepared: Prepared) -> list[str]:
    """Return what is embedded of each window: its text, below its section's heading where that lies outside."""
    sections = prepared.document.sections
    texts: list[str] = []
    at = -1
    for window in prepared.windows:
        while at + 1 < len(sections) and sections[at + 1].start <= window.start:
            at += 1
        text = prepared.document.text[window.start : window.end]
        below = at >= 0 and sections[at].start < window.start
        texts.append(f"{sections[at].title}\n{text}" if below else text)
    return texts
