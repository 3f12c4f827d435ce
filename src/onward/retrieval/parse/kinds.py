"""What type a file is, decided by its first bytes and its name.

It reads a few bytes and, for zip containers, their table of contents; it parses nothing.
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePath
from typing import Literal

from onward.ports.parse import ParseError
from onward.retrieval.words import words_of

Kind = Literal["text", "markdown", "html", "pdf", "docx", "pptx", "other"]

TEXT = words_of(
    """
    txt text log csv tsv json jsonl ndjson yaml yml toml ini cfg conf env xml svg tex bib rst org adoc srt vtt c cc
    cpp cxx h hpp cs css scss less go java js mjs cjs jsx ts tsx php py pyi rb rs sh bash zsh ps1 bat sql kt kts
    swift scala lua r pl pm hs ml clj ex exs erl dart vue svelte tf proto graphql gradle cmake make mk diff patch
    ipynb
    """
)
MARKDOWN = frozenset({"md", "markdown", "mdx"})
HTML = frozenset({"html", "htm", "xhtml"})
OTHER = {
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "epub": "application/epub+zip",
    "rtf": "application/rtf",
    "eml": "message/rfc822",
}
MEDIA_TYPES = {
    "text/markdown": "md",
    "text/html": "html",
    "application/pdf": "pdf",
    "application/json": "json",
    "text/csv": "csv",
    "text/plain": "txt",
}
BINARY_MAGIC = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"\x7fELF",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"OggS",
    b"ID3",
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_UNPACKED = 400_000_000
MAX_ENTRIES = 20_000
BOMB_RATIO = 100
BOMB_FLOOR = 20_000_000


def extension(filename: str) -> str:
    """Return the lower-case extension of a name without its dot."""
    return PurePath(filename).suffix.lower().removeprefix(".")


def detect_kind(path: Path, *, filename: str, media_type: str | None = None) -> tuple[Kind, str]:
    """Return how to parse a file and its extension; raises ParseError for what cannot be searched."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise ParseError("server_error", "The file's content could not be read.") from error
    if not head:
        raise ParseError("invalid_file", "The file is empty.")
    name = extension(filename)
    if not name and media_type:
        name = MEDIA_TYPES.get(media_type.split(";")[0].strip().lower(), "")
    if b"%PDF-" in head[:1024]:
        return "pdf", "pdf"
    if name == "pdf":
        raise ParseError("invalid_file", "The file's name says PDF, but its content is not a PDF.")
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head.startswith(OLE):
        return _ole_kind(path, name)
    return _plain_kind(head, name)


def _plain_kind(head: bytes, name: str) -> tuple[Kind, str]:
    if head.startswith(b"{\\rtf"):
        return "other", "rtf"
    if head.startswith(BINARY_MAGIC) or _is_program(head) or head[4:12] in (b"ftypisom", b"ftypmp42", b"ftypM4A "):
        raise ParseError("unsupported_file", "Files of this type hold no text that could be searched.")
    if name in ("docx", "pptx", "xlsx", "odt", "ods", "epub", "doc", "ppt", "xls", "rtf"):
        raise ParseError("invalid_file", f"The file's name says .{name}, but its content is not.")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if name in HTML or (name in ("", "php") and start.startswith((b"<!doctype html", b"<html"))):
        return ("text", "php") if name == "php" else ("html", "html")
    if name in MARKDOWN:
        return "markdown", "md"
    if name == "eml":
        return "other", name
    return "text", name or "txt"


def _is_program(head: bytes) -> bool:
    """Tell a DOS or Windows program from text that begins with the same two letters."""
    return head.startswith(b"MZ") and b"\0" in head[:64]


def _zip_kind(path: Path) -> tuple[Kind, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = {entry.filename for entry in entries}
            mimetype = archive.read("mimetype")[:100].decode("latin-1") if "mimetype" in names else ""
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError) as error:
        raise ParseError("invalid_file", "The file is a damaged office document or archive.") from error
    _refuse_bomb(entries)
    if "word/document.xml" in names:
        return "docx", "docx"
    if "ppt/presentation.xml" in names:
        return "pptx", "pptx"
    if "xl/workbook.xml" in names:
        return "other", "xlsx"
    for name in ("odt", "ods", "epub"):
        if mimetype.strip() == OTHER[name]:
            return "other", name
    raise ParseError("unsupported_file", "Archives cannot be searched: upload the files inside one by one.")


def _refuse_bomb(entries: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries) or 1
    if unpacked > MAX_UNPACKED or (unpacked > BOMB_FLOOR and unpacked / packed > BOMB_RATIO):
        raise ParseError("invalid_file", f"The file unpacks to {unpacked // 1_000_000} MB: it looks like a zip bomb.")
    if len(entries) > MAX_ENTRIES:
        raise ParseError("invalid_file", f"The file holds {len(entries)} parts: too many for a document.")


def _ole_kind(path: Path, name: str) -> tuple[Kind, str]:
    with path.open("rb") as file:
        head = file.read(1_000_000)
    if "EncryptedPackage".encode("utf-16-le") in head:
        raise ParseError("invalid_file", "The document is protected by a password: remove it and upload again.")
    if name in ("doc", "ppt", "xls"):
        return "other", name
    raise ParseError("unsupported_file", "Files of this type cannot be searched.")
