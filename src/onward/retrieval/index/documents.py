"""Writing and reading documents: begin, slices of chunks, finish, contents, deletion. Runs on database threads.

It knows no links beyond counting them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from time import time
from typing import cast

from onward.ports.embed import Vectors
from onward.ports.passages import Chunk, Content, DocumentKey, DocumentState
from onward.retrieval.index.database import Session
from onward.retrieval.index.quantize import quantize_rows
from onward.retrieval.terms import pack_terms

MAX_SLICE = 128
"""Chunks in a transaction: two rows each."""


def begin(session: Session, project: int, key: DocumentKey) -> DocumentState:
    """Find or create a document."""
    row = session.row(
        "documents.create",
        project=project,
        sha256=key.sha256,
        type=key.type,
        recipe=key.recipe,
        model=key.model,
        title=key.title,
        now=time(),
    )
    assert row is not None
    state = read_state(session, project, cast("int", row[0]))
    assert state is not None
    return state


def read_state(session: Session, project: int, document: int) -> DocumentState | None:
    """Return a document's state."""
    row = session.row("documents.state", project=project, document=document)
    if row is None:
        return None
    key, ready, chunks, usage_bytes, links = cast("tuple[int, int, int, int, int]", row)
    return DocumentState(document=key, ready=bool(ready), chunks=chunks, usage_bytes=usage_bytes, links=links)


def put_chunks(session: Session, project: int, document: int, chunks: Sequence[Chunk], vectors: Vectors) -> None:
    """Store a slice; see PassageIndex.put_chunks."""
    state = read_state(session, project, document)
    if state is None:
        raise KeyError(document)
    if state.ready:
        return
    if chunks[0].ordinal > state.chunks:
        raise ValueError(f"chunk {chunks[0].ordinal} would leave a gap after {state.chunks}")
    rows = quantize_rows(vectors)
    base = windows_of(chunks[0])[0]
    covered = _covered(session, project, document, chunks[0].ordinal - 1)
    for chunk in chunks:
        session.run(
            "documents.put_chunk",
            project=project,
            document=document,
            ordinal=chunk.ordinal,
            start=chunk.start,
            stop=chunk.end,
            page=chunk.page,
            heading=chunk.heading,
            text=chunk.text,
        )
        first, last = windows_of(chunk)
        session.run(
            "documents.put_entry",
            project=project,
            document=document,
            ordinal=chunk.ordinal,
            first_window=first,
            last_window=last,
            vectors=b"".join(rows[max(first, covered) - base : last - base]),
            terms=chunk.terms or pack_terms(chunk.text, context=chunk.heading),
        )
        covered = last
    last = chunks[-1].ordinal + 1
    session.run("documents.advance", project=project, document=document, chunks=last, now=time())


def windows_of(chunk: Chunk) -> tuple[int, int]:
    """Return the windows that a chunk covers."""
    return chunk.windows or (chunk.ordinal, chunk.ordinal + 1)


def check_slice(chunks: Sequence[Chunk], vectors: Vectors) -> None:
    """Raise ValueError for a slice that breaks the port's rules."""
    if any(chunk.ordinal != chunks[0].ordinal + i for i, chunk in enumerate(chunks)):
        raise ValueError("the ordinals of a slice must be consecutive")
    spans = [windows_of(chunk) for chunk in chunks]
    if any(not before[0] < span[0] <= before[1] < span[1] for before, span in pairwise(spans)):
        raise ValueError("the windows of chunks must follow one another without gaps")
    if spans[-1][1] - spans[0][0] != vectors.rows:
        raise ValueError(f"{spans[-1][1] - spans[0][0]} windows with {vectors.rows} vectors")


def _covered(session: Session, project: int, document: int, ordinal: int) -> int:
    """Return up to which window the chunks up to ``ordinal`` hold vectors."""
    row = session.row("documents.covered", project=project, document=document, ordinal=ordinal)
    return cast("int", row[0]) if row else 0


def finish(session: Session, project: int, document: int, chunks: int) -> DocumentState:
    """Declare a document complete; see PassageIndex.finish."""
    state = read_state(session, project, document)
    if state is None:
        raise KeyError(document)
    if state.ready:
        return state
    if state.chunks != chunks:
        raise ValueError(f"{state.chunks} of {chunks} chunks are stored")
    row = session.row("documents.measure", project=project, document=document)
    assert row is not None
    usage_bytes = cast("int", row[0])
    session.run("documents.finish", project=project, document=document, usage_bytes=usage_bytes, now=time())
    return DocumentState(document=document, ready=True, chunks=chunks, usage_bytes=usage_bytes, links=state.links)


def contents(session: Session, project: int, document: int) -> list[Content]:
    """Return the text of a document piece by piece, the overlap of chunks left out."""
    rows = session.rows("documents.contents", project=project, document=document)
    pieces: list[Content] = []
    reached = 0
    for row in rows:
        ordinal, start, stop, text = cast("tuple[int, int, int, str]", row)
        fresh = text[max(0, reached - start) :]
        if fresh:
            pieces.append(Content(ordinal=ordinal, text=fresh))
        reached = max(reached, stop)
    return pieces


def orphans(session: Session, *, before: float) -> list[tuple[int, int]]:
    """Return (project, document) of some documents that nothing links to since ``before``."""
    return cast("list[tuple[int, int]]", session.rows("documents.orphans", before=before))


def delete_slice(session: Session, project: int, document: int, limit: int) -> int:
    """Delete up to ``limit`` rows of a document and, with the last, the document; returns how many."""
    half = max(1, limit // 2)
    deleted = session.run("documents.delete_chunks", project=project, document=document, limit=half)
    deleted += session.run("documents.delete_entries", project=project, document=document, limit=half)
    if deleted == 0:
        return session.run("documents.delete", project=project, document=document)
    session.run("documents.retire", project=project, document=document)
    return deleted
