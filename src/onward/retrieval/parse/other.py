"""Spreadsheets, older office files, OpenDocument, e-books and mail, through kreuzberg.

It is used only for types that this project does not read itself.
"""

from __future__ import annotations

from pathlib import Path

from onward.ports.parse import Document, ParseError
from onward.retrieval.parse.kinds import OTHER
from onward.retrieval.parse.text import markdown_document

MAX_BYTES = 100_000_000


def parse_other(path: Path, name: str) -> Document:
    """Return the text of a file of extension ``name``; raises ParseError."""
    from kreuzberg import ExtractionConfig, KreuzbergError, extract_bytes_sync

    if path.stat().st_size > MAX_BYTES:
        raise ParseError("invalid_file", f"Files of type .{name} may have at most {MAX_BYTES // 1_000_000} MB.")
    config = ExtractionConfig(use_cache=False, output_format="plain")
    try:
        result = extract_bytes_sync(path.read_bytes(), OTHER[name], config=config)
    except KreuzbergError as error:
        reason = str(error).lower()
        if "password" in reason or "encrypt" in reason:
            message = "The document is protected by a password: remove it and upload again."
            raise ParseError("invalid_file", message) from error
        raise ParseError("invalid_file", f"The .{name} file is damaged and cannot be read.") from error
    text = result.content.strip()
    if not text:
        raise ParseError("invalid_file", "The document holds no text.")
    title = result.metadata.get("title")
    return markdown_document(text, title=title[:300] if isinstance(title, str) else "")
