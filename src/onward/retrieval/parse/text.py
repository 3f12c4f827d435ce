"""Plain text, code and markdown: decoding bytes, and headings as sections.

It knows no containers; what is not text is refused.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from onward.ports.parse import Document, ParseError, Section
from onward.retrieval.parse.builder import MAX_CHARACTERS, close_sections

MAX_BYTES = 4 * MAX_CHARACTERS
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_NEWLINES = re.compile(r"\r\n?|\u2028|\u2029|\x0b|\x0c")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_MARKS = re.compile(r"[*_`]+")
NOT_TEXT = "The file is not text in UTF-8, UTF-16 or ASCII."


def read_text(path: Path) -> str:
    """Return a file's text with line ends as ``\\n``; raises ParseError where it is none."""
    if path.stat().st_size > MAX_BYTES:
        raise ParseError("invalid_file", "The file's text is too large to be searched.")
    return decode_text(path.read_bytes())


def decode_text(data: bytes) -> str:
    """Decode UTF-8, UTF-16 or UTF-32 by byte order mark or, without one, by trying; raises ParseError."""
    text = _NEWLINES.sub("\n", _decode(data)).strip()
    if "\0" in text[:100_000]:
        raise ParseError("invalid_file", NOT_TEXT)
    if len(_CONTROL.findall(text[:100_000])) > max(4, min(len(text), 100_000) // 200):
        raise ParseError("invalid_file", NOT_TEXT)
    text = _CONTROL.sub("", text)
    if not text:
        raise ParseError("invalid_file", "The file holds no text.")
    if len(text) > MAX_CHARACTERS:
        raise ParseError("invalid_file", "The file's text is too large to be searched.")
    return text


def _decode(data: bytes) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _try(data[len(mark) :], encoding)
    sample = data[:2000]
    if sample.count(0) > len(sample) // 4:
        return _try(data, "utf-16-le" if sample[1::2].count(0) >= sample[::2].count(0) else "utf-16-be")
    return _try(data, "utf-8")


def _try(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ParseError("invalid_file", NOT_TEXT) from error


def parse_text(path: Path) -> Document:
    """Return plain text or code as it is."""
    return Document(read_text(path))


def parse_markdown(path: Path) -> Document:
    """Return markdown as it is, with its headings (outside code fences) as sections."""
    return markdown_document(read_text(path))


def markdown_document(text: str, *, title: str = "") -> Document:
    """Return ``text`` with the sections of its headings."""
    fences = [(m.start(), m.end()) for m in _FENCE.finditer(text)]
    sections: list[Section] = []
    fence = 0
    for match in _HEADING.finditer(text):
        while fence < len(fences) and fences[fence][1] <= match.start():
            fence += 1
        if fence < len(fences) and fences[fence][0] <= match.start():
            continue
        name = _MARKS.sub("", match[2]).strip()[:200]
        sections.append(Section(match.start(), match.start(), name, len(match[1])))
    first = next((s.title for s in sections if s.level == 1), "")
    return Document(text, close_sections(sections, len(text)), [], title or first)
