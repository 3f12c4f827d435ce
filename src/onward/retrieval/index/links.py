"""Links: which document a store shows as which file, with attributes. Runs on the writer thread.

Every change raises the store's generation inside the same transaction, so that no process can miss it.
"""

from __future__ import annotations

from time import time
from typing import cast

import msgspec

from onward.ports.filters import Attributes
from onward.retrieval.index.database import Session


def encode_attributes(attributes: Attributes | None) -> str:
    """Return attributes as the JSON of a link row."""
    return msgspec.json.encode(attributes or {}).decode()


def link(session: Session, project: int, store: int, file: int, document: int, attributes: str) -> None:
    """Show a document as a file; see PassageIndex.link."""
    row = session.row("links.document", project=project, document=document)
    if row is None:
        raise KeyError(document)
    ready, chunks, usage_bytes = cast("tuple[int, int, int]", row)
    if not ready:
        raise ValueError(f"document {document} is not ready")
    before = _linked(session, project, store, file)
    changed = _touch(session, project, store, chunks - before[0], usage_bytes - before[1])
    session.run(
        "links.put", project=project, store=store, file=file, document=document, attributes=attributes, changed=changed
    )


def unlink(session: Session, project: int, store: int, file: int) -> bool:
    """Take a file out of a store and leave a trace for other processes."""
    row = session.row("links.linked", project=project, store=store, file=file)
    if row is None:
        return False
    document, chunks, usage_bytes = cast("tuple[int, int, int]", row)
    changed = _touch(session, project, store, -chunks, -usage_bytes)
    session.run("links.put", project=project, store=store, file=file, document=None, attributes="{}", changed=changed)
    session.run("links.keep", project=project, document=document, now=time())
    return True


def unlink_file(session: Session, project: int, file: int) -> int:
    """Take a file out of all stores."""
    stores = [cast("int", row[0]) for row in session.rows("links.stores_of_file", project=project, file=file)]
    return sum(unlink(session, project, store, file) for store in stores)


def unlink_document(session: Session, project: int, document: int) -> None:
    """Take a document out of every store that shows it."""
    for row in session.rows("links.links_of_document", project=project, document=document):
        store, file = cast("tuple[int, int]", row)
        unlink(session, project, store, file)


def drop_store(session: Session, project: int, store: int) -> int:
    """Take every file out of a store."""
    row = session.row("links.count", project=project, store=store)
    session.run("links.drop_links", project=project, store=store)
    session.run("links.close_store", project=project, store=store)
    return cast("int", row[0]) if row else 0


def set_attributes(session: Session, project: int, store: int, file: int, attributes: str) -> bool:
    """Replace a file's attributes."""
    if session.row("links.linked", project=project, store=store, file=file) is None:
        return False
    changed = _touch(session, project, store, 0, 0)
    values: dict[str, str | int] = {"attributes": attributes, "changed": changed}
    return session.run("links.set_attributes", project=project, store=store, file=file, **values) > 0


def store_totals(session: Session, project: int, store: int) -> tuple[int, int]:
    """Return (chunks, bytes) that a store's links count."""
    row = session.row("links.store", project=project, store=store)
    return cast("tuple[int, int, int, int]", row)[2:] if row else (0, 0)


def linked_document(session: Session, project: int, store: int, file: int) -> tuple[int, int] | None:
    """Return (document, bytes) of a file in a store."""
    row = session.row("links.linked", project=project, store=store, file=file)
    if row is None:
        return None
    document, _, usage_bytes = cast("tuple[int, int, int]", row)
    return document, usage_bytes


def _linked(session: Session, project: int, store: int, file: int) -> tuple[int, int]:
    row = session.row("links.linked", project=project, store=store, file=file)
    return cast("tuple[int, int, int]", row)[1:] if row else (0, 0)


def _touch(session: Session, project: int, store: int, chunks: int, usage_bytes: int) -> int:
    row = session.row("links.touch", project=project, store=store, chunks=chunks, usage_bytes=usage_bytes)
    assert row is not None
    return cast("int", row[0])
