"""The seam that file_search and the ingestion worker use: files go in, passages come out.

It joins parser, embedder and index, and knows no public ids, no HTTP and no state rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from onward.ports.filters import Filter
from onward.ports.parse import Recipe
from onward.ports.passages import DocumentState, Passage, Weights


class Source(msgspec.Struct, frozen=True):
    """A file to ingest: where its bytes are, their sha256 in hex, and the name that decides its type and title."""

    path: Path
    sha256: str
    filename: str
    media_type: str | None = None


class Ranking(msgspec.Struct, frozen=True):
    """``ranking_options``: see SearchQuery."""

    limit: int = 10
    threshold: float = 0.0
    weights: Weights | None = None
    ranker: Literal["auto", "none"] = "auto"


Progress = Callable[[int, int], Awaitable[None]]
"""Called with (chunks stored, chunks in all) after each slice; an exception from it stops the ingestion."""


class Library(Protocol):
    """Ingests files into documents and searches them."""

    async def ingest(
        self, project: int, source: Source, *, recipe: Recipe | None = None, progress: Progress | None = None
    ) -> DocumentState:
        """Parse, chunk, embed and store a file; returns a ready document, to be linked by ``PassageIndex.link``.

        Content that is already there is not embedded again, and an interrupted ingestion goes on where it stopped.
        Raises ParseError (the file's fault) and EmbedError (ours; retryable says whether to try again).
        """
        ...

    async def search(
        self,
        project: int,
        stores: Sequence[int],
        texts: Sequence[str],
        *,
        filter: Filter | None = None,
        ranking: Ranking | None = None,
    ) -> list[Passage]:
        """Embed the wordings of one need and return the best passages; raises EmbedError."""
        ...
