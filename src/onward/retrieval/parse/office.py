"""Word and PowerPoint documents: their XML parts read as a stream, part by part within limits.

It resolves no external reference and no document type definition.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast
from xml.etree.ElementTree import Element, iterparse
from xml.etree.ElementTree import ParseError as XmlError

from onward.ports.parse import Document, ParseError
from onward.retrieval.parse.builder import DocumentBuilder

MAX_PART = 200_000_000
_CHUNK = 1 << 16
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DRAW = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_CORE_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_SLIDE = re.compile(r"ppt/slides/slide(\d+)\.xml")
_LEVEL = re.compile(r"heading\s*(\d)", re.IGNORECASE)
_BREAKS = {f"{_WORD}tab": "\t", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}noBreakHyphen": "-"}


def parse_docx(path: Path) -> Document:
    """Return the text of a Word document with its headings; raises ParseError."""
    with _open(path) as archive:
        builder = DocumentBuilder()
        levels = _heading_styles(archive)
        for block in _elements(archive, "word/document.xml", {f"{_WORD}p", f"{_WORD}tr"}):
            if block.tag == f"{_WORD}tr":
                cells = [" ".join(_runs(cell).split()) for cell in block.iter(f"{_WORD}tc")]
                builder.paragraph(" | ".join(cells), gap="\n")
            else:
                _paragraph(builder, block, levels)
        for part in ("word/footnotes.xml", "word/endnotes.xml"):
            if part in archive.namelist():
                for block in _elements(archive, part, {f"{_WORD}p"}):
                    builder.paragraph(_runs(block))
        builder.title = _title(archive)
        return _checked(builder)


def _paragraph(builder: DocumentBuilder, block: Element, levels: dict[str, int]) -> None:
    style = block.find(f"{_WORD}pPr/{_WORD}pStyle")
    name = style.get(f"{_WORD}val", "") if style is not None else ""
    level = levels.get(name)
    if level is None and (match := _LEVEL.fullmatch(name)):
        level = int(match[1])
    listed = block.find(f"{_WORD}pPr/{_WORD}numPr") is not None
    text = _runs(block)
    if level is not None:
        builder.heading(text, level)
    else:
        builder.paragraph(text, gap="\n" if listed else "\n\n")


def _runs(block: Element) -> str:
    parts: list[str] = []
    for node in block.iter():
        if node.tag == f"{_WORD}t":
            parts.append(node.text or "")
        elif node.tag in _BREAKS:
            parts.append(_BREAKS[node.tag])
        elif node.tag == f"{_WORD}p" and node is not block:
            parts.append(" ")
    return "".join(parts)


def _heading_styles(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the levels of styles that are headings by name or outline, in any language."""
    levels: dict[str, int] = {}
    if "word/styles.xml" not in archive.namelist():
        return levels
    for style in _elements(archive, "word/styles.xml", {f"{_WORD}style"}):
        name = style.find(f"{_WORD}name")
        outline = style.find(f"{_WORD}pPr/{_WORD}outlineLvl")
        label = name.get(f"{_WORD}val", "") if name is not None else ""
        match = _LEVEL.match(label)
        if match or outline is not None or label.lower() == "title":
            raw = outline.get(f"{_WORD}val", "0") if outline is not None else "0"
            level = int(match[1]) if match else min(6, int(raw) + 1 if raw.isdigit() else 1)
            if level <= 6:
                levels[style.get(f"{_WORD}styleId", "")] = level
    return levels


def parse_pptx(path: Path) -> Document:
    """Return the text of a presentation, one page a slide; raises ParseError."""
    with _open(path) as archive:
        builder = DocumentBuilder()
        slides = sorted((int(m[1]), m[0]) for name in archive.namelist() if (m := _SLIDE.fullmatch(name)))
        for number, name in slides:
            builder.page(number)
            for paragraph in _elements(archive, name, {f"{_DRAW}p"}):
                builder.paragraph("".join(run.text or "" for run in paragraph.iter(f"{_DRAW}t")), gap="\n")
        builder.title = _title(archive)
        return _checked(builder)


def _title(archive: zipfile.ZipFile) -> str:
    if "docProps/core.xml" not in archive.namelist():
        return ""
    titles = [node.text or "" for node in _elements(archive, "docProps/core.xml", {_CORE_TITLE})]
    return titles[0].strip()[:300] if titles else ""


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ParseError("invalid_file", "The document is damaged.") from error


def _checked(builder: DocumentBuilder) -> Document:
    document = builder.build()
    if not document.text:
        raise ParseError("invalid_file", "The document holds no text.")
    return document


def _elements(archive: zipfile.ZipFile, name: str, tags: set[str]) -> Iterator[Element]:
    """Yield outermost elements of ``tags`` as they close, and forget them, so that memory stays flat."""
    try:
        with archive.open(name) as part:
            yield from _stream(part, tags)
    except XmlError as error:
        raise ParseError("invalid_file", "The document's XML is damaged.") from error
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise ParseError("invalid_file", "The document is damaged or encrypted.") from error


class _Limited:
    """A part of the archive as a file that refuses to grow without end or to define entities."""

    def __init__(self, part: IO[bytes]) -> None:
        self._part = part
        self._size = 0

    def read(self, size: int = _CHUNK) -> bytes:
        data = self._part.read(size)
        if self._size < _CHUNK and b"<!DOCTYPE" in data:
            raise ParseError(
                "invalid_file", "The document's XML defines a type of its own, which no office program does."
            )
        self._size += len(data)
        if self._size > MAX_PART:
            raise ParseError("invalid_file", "The document unpacks to more than a document can hold.")
        return data


def _stream(part: IO[bytes], tags: set[str]) -> Iterator[Element]:
    stack: list[Element] = []
    inside = 0
    for event, node in iterparse(_Limited(part), events=("start", "end")):
        element = cast("Element", node)
        if event == "start":
            stack.append(element)
            inside += element.tag in tags
            continue
        stack.pop()
        if element.tag in tags:
            inside -= 1
            if not inside:
                yield element
        if not inside and stack:
            stack[-1].remove(element)
