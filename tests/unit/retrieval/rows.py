"""Small documents for an index, with vectors that say what they mean."""

import math
from array import array
from collections.abc import Sequence
from pathlib import Path

from onward.ports.embed import Vectors
from onward.ports.filters import Attributes, Filter
from onward.ports.passages import Chunk, DocumentKey, Passage, SearchQuery, Weights
from onward.retrieval.index.sqlite import SqlitePassageIndex

MODEL = "test-space"
SPACE = 8


def unit(*values: float) -> bytes:
    padded = [*values, *[0.0] * (SPACE - len(values))]
    norm = math.sqrt(sum(value * value for value in padded)) or 1.0
    return array("f", [value / norm for value in padded]).tobytes()


def matrix(rows: Sequence[bytes]) -> Vectors:
    return Vectors(len(rows), SPACE, b"".join(rows))


def document_key(name: str, *, model: str = MODEL) -> DocumentKey:
    return DocumentKey(sha256=name, type="txt", recipe="v1:800:400", model=model, title=name)


def chunks_of(texts: Sequence[str], *, first: int = 0) -> list[Chunk]:
    return [
        Chunk(ordinal=first + i, start=(first + i) * 100, end=(first + i) * 100 + len(text), text=text)
        for i, text in enumerate(texts)
    ]


async def add(
    index: SqlitePassageIndex,
    texts: Sequence[str],
    *,
    name: str,
    file: int,
    store: int = 1,
    project: int = 1,
    vectors: Sequence[bytes] | None = None,
    attributes: Attributes | None = None,
    model: str = MODEL,
) -> int:
    """Store a whole document and link it; its vectors all point along the first axis unless given."""
    state = await index.begin(project, document_key(name, model=model))
    if not state.ready:
        rows = vectors or [unit(1.0)] * len(texts)
        await index.put_chunks(project, state.document, chunks_of(texts), matrix(rows))
        await index.finish(project, state.document, chunks=len(texts))
    await index.link(project, store, file, state.document, attributes=attributes)
    return state.document


async def ask(
    index: SqlitePassageIndex,
    text: str,
    *,
    stores: Sequence[int] = (1,),
    project: int = 1,
    vector: bytes | None = None,
    filter: Filter | None = None,
    limit: int = 10,
    weights: Weights | None = None,
    threshold: float = 0.0,
) -> list[Passage]:
    query = SearchQuery(
        texts=[text],
        vectors=matrix([vector or unit(1.0)]),
        model=MODEL,
        filter=filter,
        limit=limit,
        weights=weights,
        threshold=threshold,
    )
    return await index.search(project, stores, query)


def opened(path: Path) -> SqlitePassageIndex:
    return SqlitePassageIndex(path)


def passage(text: str, *, score: float = 0.9, heading: str = "", title: str = "") -> Passage:
    return Passage(
        store=1,
        file=1,
        document=1,
        ordinal=0,
        text=text,
        start=0,
        end=len(text),
        score=score,
        heading=heading,
        title=title,
    )
