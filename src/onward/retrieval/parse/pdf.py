"""PDF text with pages, by pdfium; lines of a paragraph are joined again.

It renders nothing and reads no images.
"""

# pypdfium2's raw bindings have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from pathlib import Path

from onward.ports.parse import Document, ParseError
from onward.retrieval.parse.builder import DocumentBuilder

MAX_PAGES = 20_000
_HYPHEN = re.compile(r"(?:\x02|\ufffe|\xad)\s*")
_BULLET = re.compile(r"^(?:[-•*▪‣–—]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_END = (".", "!", "?", ":", ";", "。", "！", "？", "：", "；")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]")


def parse_pdf(path: Path) -> Document:
    """Return the text of a PDF; raises ParseError for encrypted, damaged and text-less files."""
    import pypdfium2 as pdfium

    try:
        pdf = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        reason = str(error).lower()
        if "password" in reason or "security" in reason:
            message = "The PDF is protected by a password: remove it and upload again."
        else:
            message = "The PDF is damaged and cannot be opened."
        raise ParseError("invalid_file", message) from error
    if len(pdf) > MAX_PAGES:
        raise ParseError("invalid_file", f"The PDF has {len(pdf)} pages; at most {MAX_PAGES} can be searched.")
    builder = DocumentBuilder()
    broken = 0
    for number in range(len(pdf)):
        builder.page(number + 1)
        try:
            page = pdf[number]
            text_page = page.get_textpage()
            text = text_page.get_text_bounded()
            text_page.close()
            page.close()
        except pdfium.PdfiumError:
            broken += 1
            continue
        for paragraph in join_lines(text):
            builder.paragraph(paragraph)
    builder.title = str(pdf.get_metadata_dict().get("Title", "")).strip()[:300]
    document = builder.build()
    if not document.text:
        raise ParseError("invalid_file", _nothing(len(pdf), broken))
    return document


def _nothing(pages: int, broken: int) -> str:
    if broken:
        return f"The PDF is damaged: {broken} of its {pages} pages cannot be read."
    return "The PDF holds no text: it may be a scan. Upload a version with recognized text."


def join_lines(text: str) -> list[str]:
    """Return paragraphs of a page: a line that is full, and does not end a sentence at a break, goes on in the next."""
    text = _HYPHEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", ""))
    lines = [line.strip() for line in text.split("\n")]
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return []
    full = 0.75 * lengths[int(0.9 * (len(lengths) - 1))]
    paragraphs: list[str] = []
    previous = ""
    for line in lines:
        if paragraphs and line and _goes_on(previous, line, full):
            glue = "" if _CJK.match(previous[-1]) and _CJK.match(line[0]) else " "
            paragraphs[-1] += glue + line
        elif line:
            paragraphs.append(line)
        previous = line
    return paragraphs


def _goes_on(previous: str, line: str, full: float) -> bool:
    if not previous or _BULLET.match(line):
        return False
    if len(previous) >= full:
        return True
    return not previous.endswith(_END) and line[0].islower()
