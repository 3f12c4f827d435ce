"""The seam to document parsing: a file on disk becomes text with structure, and text becomes chunks.

It knows nothing of files as API objects, of stores or of vectors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import msgspec

ParseCode = Literal["unsupported_file", "invalid_file", "server_error"]
"""``last_error.code`` of a vector store file."""


class Section(msgspec.Struct, frozen=True, array_like=True):
    """A heading and the text below it, up to the next heading of any level; offsets are code points."""

    start: int
    end: int
    title: str
    level: int


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Where a page (counted from 1) begins, in code points of the document's text."""

    start: int
    page: int


class Document(msgspec.Struct, frozen=True):
    """Parsed text with its structure; ``sections`` and ``pages`` are in order of ``start``."""

    text: str
    sections: list[Section] = []
    pages: list[Page] = []
    title: str = ""


class Recipe(msgspec.Struct, frozen=True):
    """How text is cut: chunks of at most ``max_tokens`` o200k tokens, ``overlap_tokens`` of them shared with the next.

    The default is the contract's ``auto`` strategy; ``static`` allows 100..4096 and an overlap of at most half.
    """

    max_tokens: int = 800
    overlap_tokens: int = 400

    @property
    def name(self) -> str:
        """Return the part of a document's identity that says how it was cut."""
        return f"v1:{self.max_tokens}:{self.overlap_tokens}"


class Window(msgspec.Struct, frozen=True, array_like=True):
    """A span of text that is embedded once (code points); windows never overlap."""

    start: int
    end: int
    tokens: int


class ChunkSpan(msgspec.Struct, frozen=True, array_like=True):
    """A chunk as a run of windows: ``first_window <= w < last_window``; ``page`` is None where there are no pages.

    ``terms`` are its words, packed for the keyword index.
    """

    ordinal: int
    start: int
    end: int
    tokens: int
    first_window: int
    last_window: int
    page: int | None = None
    heading: str = ""
    terms: bytes = b""


class Prepared(msgspec.Struct, frozen=True):
    """A parsed document with its chunks: the same file and recipe always give the same result."""

    document: Document
    windows: list[Window]
    chunks: list[ChunkSpan]
    tokens: int


class ParseError(Exception):
    """The file cannot be parsed; ``code`` and ``message`` become the vector store file's ``last_error``."""

    def __init__(self, code: ParseCode, message: str) -> None:
        super().__init__(message)
        self.code: ParseCode = code
        self.message = message


class Parser(Protocol):
    """Parses files in killable child processes with limits on memory, CPU, time and output."""

    async def parse(self, path: Path, *, filename: str, media_type: str | None = None) -> Document:
        """Return the text of the file at ``path``; ``filename`` and content decide its type. Raises ParseError."""
        ...

    async def prepare(
        self, path: Path, *, filename: str, media_type: str | None = None, recipe: Recipe | None = None
    ) -> Prepared:
        """Parse and cut into chunks by ``recipe`` (default: auto 800/400). Raises ParseError."""
        ...

    async def aclose(self) -> None:
        """End the child processes."""
        ...
