"""The seam to citations: which span of an answer is supported by which passage.

It knows answers and passages as text; no dialect, no markers, no ids.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from onward.ports.passages import Passage


class Citation(msgspec.Struct, frozen=True):
    """A sentence of the answer and the passage that supports it.

    ``start``/``end`` are code points of the answer; ``index`` is where a marker belongs: behind the
    sentence's end mark, before the blank that follows; ``passage`` is a position in the list the citer
    was given; ``quote_start``/``quote_end`` are code points of that passage's text.
    """

    start: int
    end: int
    index: int
    passage: int
    quote_start: int
    quote_end: int
    score: float


class Citer(Protocol):
    """Decides sentence by sentence while an answer streams; one instance serves one answer."""

    def feed(self, delta: str) -> list[Citation]:
        """Take the next piece of the answer and return the citations of the sentences it completed."""
        ...

    def finish(self) -> list[Citation]:
        """Return the citations of what is left when the answer ended."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """An answer made of verbatim sentences of passages, with its citations; empty text means nothing was found."""

    text: str
    citations: list[Citation]


class CiterFactory(Protocol):
    """Makes a citer for one answer."""

    def __call__(self, passages: list[Passage]) -> Citer:
        """Return a citer over ``passages``."""
        ...
