"""The seam to whatever turns text into vectors: a local model in a child process, or an upstream.

It knows nothing of chunks, stores or HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Lane = Literal["query", "ingest"]
"""Who waits for the answer: a person (``query``, served first) or an ingestion (``ingest``, served in slices)."""


class Vectors(msgspec.Struct, frozen=True):
    """A matrix of unit-length vectors as raw bytes, so that holding it needs no numeric library.

    ``data`` is row-major little-endian float32: ``rows * dimensions * 4`` bytes.
    """

    rows: int
    dimensions: int
    data: bytes

    def row(self, index: int) -> bytes:
        """Return row ``index`` as ``dimensions * 4`` bytes."""
        width = self.dimensions * 4
        return self.data[index * width : (index + 1) * width]


class EmbedError(Exception):
    """The texts could not be embedded; the message says why in words for the operator.

    ``retryable`` is true where the same call may succeed later (a lost process, a busy upstream).
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class Embedder(Protocol):
    """Embeds texts; one instance serves a whole process and is safe for concurrent use."""

    @property
    def model(self) -> str:
        """The name that identifies the vector space: vectors of different models are never compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of each vector; 0 until the first answer where only the upstream knows it."""
        ...

    async def embed(self, texts: Sequence[str], *, lane: Lane) -> Vectors:
        """Return one unit vector a text, in order; raises EmbedError. An empty sequence gives zero rows."""
        ...

    async def aclose(self) -> None:
        """Release connections; a shared child process ends by itself when nobody is left."""
        ...
