"""The seam to the index of passages: documents are stored once, vector stores link to them, a search ranks chunks.

It knows keys, not public ids; no files, no parsing, no embedding. Every method takes the project's key first, so
that no query can be written without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from onward.ports.embed import Vectors
from onward.ports.filters import Attributes, Filter


class DocumentKey(msgspec.Struct, frozen=True):
    """What makes parsed and embedded content the same inside a project, so that it is stored once.

    ``type`` is the parser's file type, ``recipe`` the chunking, ``model`` the vector space and ``title`` the title
    that was embedded with the text.
    """

    sha256: str
    type: str
    recipe: str
    model: str
    title: str


class DocumentState(msgspec.Struct, frozen=True):
    """How far a document has come: chunks ``0 <= ordinal < chunks`` are stored; ``ready`` once it was finished."""

    document: int
    ready: bool
    chunks: int
    usage_bytes: int
    links: int


class Chunk(msgspec.Struct, frozen=True):
    """A chunk to store: ``start``/``end`` are code points of the parsed document, ``page`` counts from 1.

    ``terms`` are its packed words (``ChunkSpan.terms``); the index makes them where they are empty. ``windows`` are the
    embedded windows of the document that it covers (first, last + 1), which chunks beside each other may share; None
    is a window of its own.
    """

    ordinal: int
    start: int
    end: int
    text: str
    page: int | None = None
    heading: str = ""
    terms: bytes = b""
    windows: tuple[int, int] | None = None


class Content(msgspec.Struct, frozen=True):
    """A piece of parsed text in document order, without the overlap between chunks."""

    ordinal: int
    text: str


class Weights(msgspec.Struct, frozen=True):
    """``ranking_options.hybrid_search``: the share of meaning and of words in the rank; at least one is above 0."""

    embedding: float
    text: float


class SearchQuery(msgspec.Struct, frozen=True):
    """One search: every text is a wording of the same need, and their results are fused.

    ``vectors`` holds one row a text, of the space ``model``. ``threshold`` (0..1) drops passages that score lower.
    ``weights`` None lets the ranker choose them by language. ``ranker`` ``none`` orders by meaning alone.
    """

    texts: Sequence[str]
    vectors: Vectors
    model: str
    filter: Filter | None = None
    limit: int = 10
    threshold: float = 0.0
    weights: Weights | None = None
    ranker: Literal["auto", "none"] = "auto"


class Passage(msgspec.Struct, frozen=True):
    """A ranked chunk: ``score`` 0..1 compares across queries, ``start``/``end`` are code points of the document."""

    store: int
    file: int
    document: int
    ordinal: int
    text: str
    start: int
    end: int
    score: float
    page: int | None = None
    heading: str = ""
    title: str = ""
    attributes: Attributes = {}


class PassageIndex(Protocol):
    """Stores documents once a project and searches the chunks that a vector store links to."""

    async def begin(self, project: int, key: DocumentKey) -> DocumentState:
        """Find or create the document of ``key``; an interrupted one says at which chunk to go on."""
        ...

    async def put_chunks(self, project: int, document: int, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Store a slice of chunks (ordinals consecutive) with the vectors of all windows from its first to its last.

        A chunk is as near to a query as its nearest window. Idempotent: repeating a slice changes nothing. Nothing of
        it is visible to a search before ``finish``. Raises ValueError for a slice with gaps, KeyError.
        """
        ...

    async def finish(self, project: int, document: int, *, chunks: int) -> DocumentState:
        """Declare the document complete at ``chunks`` chunks; raises ValueError when some are missing."""
        ...

    async def document_state(self, project: int, document: int) -> DocumentState | None:
        """Return the state of a document, or None where there is none."""
        ...

    async def link(
        self, project: int, store: int, file: int, document: int, *, attributes: Attributes | None = None
    ) -> None:
        """Make a ready document visible in a store as a file; replaces what the file showed there before.

        Raises KeyError for an unknown document and ValueError for one that is not ready.
        """
        ...

    async def unlink(self, project: int, store: int, file: int) -> bool:
        """Take a file out of a store, invisible at once; false where it was not there."""
        ...

    async def unlink_file(self, project: int, file: int) -> int:
        """Take a file out of all stores of the project; returns from how many."""
        ...

    async def drop_store(self, project: int, store: int) -> int:
        """Take every file out of a store; returns how many there were."""
        ...

    async def set_attributes(self, project: int, store: int, file: int, attributes: Attributes) -> bool:
        """Replace a file's attributes in a store, without embedding anything; false where it is not there."""
        ...

    async def chunk_count(self, project: int, store: int) -> int:
        """Return how many chunks the store can find."""
        ...

    async def usage_bytes(self, project: int, store: int) -> int:
        """Return the bytes of parsed chunks and embeddings that the store's links count."""
        ...

    async def file_usage_bytes(self, project: int, store: int, file: int) -> int:
        """Return the bytes of one file in a store; 0 where it is not there."""
        ...

    async def contents(self, project: int, document: int) -> list[Content]:
        """Return the parsed text of a document, piece by piece in order."""
        ...

    async def file_contents(self, project: int, store: int, file: int) -> list[Content] | None:
        """Return the parsed text of a file in a store; None where it is not there."""
        ...

    async def search(self, project: int, stores: Sequence[int], query: SearchQuery) -> list[Passage]:
        """Return the best passages of the stores, best first; the same content in two files comes once."""
        ...

    async def sweep(self, *, older_than: float = 3600.0, limit: int = 256) -> int:
        """Delete at most ``limit`` rows of documents that no store links and that are older than so many seconds.

        Returns the rows deleted: call again until 0.
        """
        ...

    async def erase(self, project: int, sha256: str) -> int:
        """Delete every document made of this content at once, links included, and return how many there were."""
        ...

    async def aclose(self) -> None:
        """Close the database; calls under way end first."""
        ...
