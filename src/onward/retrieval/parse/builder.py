"""Collects paragraphs, headings and pages into a Document, minding the limit on its size.

It knows no file format.
"""

from __future__ import annotations

from onward.ports.parse import Document, Page, ParseError, Section

MAX_CHARACTERS = 40_000_000
"""Far above the contract's 5,000,000 tokens; a bomb meets it before memory ends."""


class DocumentBuilder:
    """Appends text in order; offsets are code points."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._sections: list[Section] = []
        self._pages: list[Page] = []
        self.title = ""

    def paragraph(self, text: str, *, gap: str = "\n\n") -> None:
        """Append a paragraph; blank ones vanish. ``gap`` separates it from what came before."""
        text = text.strip()
        if not text:
            return
        if self._parts:
            self._append(gap)
        self._append(text)

    def heading(self, text: str, level: int) -> None:
        """Append a heading as a paragraph and begin a section with it."""
        title = " ".join(text.split())
        if not title:
            return
        start = self._size + (2 if self._parts else 0)
        self.paragraph(title)
        self._sections.append(Section(start, start, title[:200], level))

    def page(self, number: int) -> None:
        """Begin page ``number`` with the next paragraph."""
        self._pages.append(Page(self._size, number))

    def build(self) -> Document:
        """Return the document; each section ends where the next begins."""
        text = "".join(self._parts)
        return Document(text, close_sections(self._sections, len(text)), self._pages, self.title)

    def _append(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_CHARACTERS:
            raise ParseError("invalid_file", "The file's text is too large to be searched.")
        self._parts.append(text)


def close_sections(sections: list[Section], end: int) -> list[Section]:
    """Return the sections, each ending where the next one begins and the last at ``end``."""
    ends = [*(section.start for section in sections[1:]), end][: len(sections)]
    return [Section(s.start, stop, s.title, s.level) for s, stop in zip(sections, ends, strict=True)]
