"""HTML to text: headings become sections; scripts, styles and navigation are left out.

It fetches nothing and runs nothing.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from onward.ports.parse import Document, ParseError
from onward.retrieval.parse.builder import DocumentBuilder
from onward.retrieval.parse.text import MAX_BYTES, decode_text
from onward.retrieval.words import words_of

_SKIPPED = frozenset({"script", "style", "noscript", "template", "svg", "nav", "iframe", "object", "canvas", "select"})
_BLOCKS = words_of(
    """
    address article aside blockquote body caption dd details div dl dt figcaption figure footer form header hr html
    li main ol option p pre section summary table tbody td tfoot th thead tr ul
    """
)
_TIGHT = frozenset({"li", "tr", "dt", "dd"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"<meta[^>]+charset=[\"']?([\w-]+)", re.IGNORECASE)


class _Reader(HTMLParser):
    """Folds tags into paragraphs; cells of a row are joined by `` | ``."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.builder = DocumentBuilder()
        self._text: list[str] = []
        self._skip: list[str] = []
        self._level = 0
        self._pre = 0
        self._gap = "\n\n"
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skip:
            if tag == self._skip[-1]:
                self._skip.append(tag)
            return
        if tag in _SKIPPED:
            self._skip.append(tag)
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._text.append("\n")
        elif tag in ("td", "th"):
            if any(part.strip() for part in self._text):
                self._text.append(" | ")
        elif tag in _HEADINGS:
            self._flush("\n\n")
            self._level = _HEADINGS[tag]
        elif tag in _BLOCKS:
            self._flush("\n" if tag in _TIGHT else "\n\n")
            self._pre += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self._skip:
            if tag == self._skip[-1]:
                self._skip.pop()
            return
        if tag == "title":
            self._in_title = False
        elif tag in _HEADINGS or (tag in _BLOCKS and tag not in ("td", "th")):
            self._flush("\n" if tag in _TIGHT else "\n\n")
            self._pre -= tag == "pre" and self._pre > 0

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.builder.title = f"{self.builder.title} {' '.join(data.split())}".strip()[:300]
        elif not self._skip:
            self._text.append(data if self._pre else re.sub(r"\s+", " ", data))

    def finish(self) -> Document:
        """Return what was read."""
        self.close()
        self._flush("\n\n")
        return self.builder.build()

    def _flush(self, gap: str) -> None:
        text = "".join(self._text)
        self._text.clear()
        if text.strip():
            text = text if self._pre else "\n".join(line.strip() for line in text.split("\n"))
            if self._level:
                self.builder.heading(text, self._level)
            else:
                self.builder.paragraph(
                    text, gap=self._gap if self._gap == gap else "\n\n" if self._gap != "\n" else "\n"
                )
        self._level = 0
        self._gap = gap


def parse_html(path: Path) -> Document:
    """Return the text of an HTML file; raises ParseError where it has none."""
    if path.stat().st_size > MAX_BYTES:
        raise ParseError("invalid_file", "The file's text is too large to be searched.")
    reader = _Reader()
    reader.feed(_decode(path.read_bytes()))
    document = reader.finish()
    if not document.text:
        raise ParseError("invalid_file", "The page holds no text.")
    return document


def _decode(data: bytes) -> str:
    match = _CHARSET.search(data[:4096])
    name = match[1].decode("ascii").lower() if match else "utf-8"
    if name not in ("utf-8", "utf8", "us-ascii") and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode(name)
        except (LookupError, UnicodeDecodeError):
            pass
    return decode_text(data)
