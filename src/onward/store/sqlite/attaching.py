"""Attaching files to stores: the row and the order to ingest it come into being in one transaction."""

from collections.abc import Iterable
from typing import Final

from onward.core import clock
from onward.ports.files import no_such_file
from onward.ports.vector_stores import Attach, VectorStore
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.files import LIVE
from onward.store.sqlite.store_rows import encode_attributes
from onward.store.sqlite.work import SqliteWork

_FILE = f"SELECT key FROM files WHERE project = ? AND id = ? AND {LIVE}"
_LIVE = "SELECT 1 FROM files WHERE project = ? AND key = ? AND deleted = 0"
_EXISTING = (
    "SELECT key, batch, status, max_tokens, overlap_tokens FROM vector_store_files"
    " WHERE project = ? AND file = ? AND store = ? AND deleted = 0"
)
_INSERT = (
    "INSERT INTO vector_store_files"
    " (project, key, store, file, batch, status, created_at, attributes, max_tokens, overlap_tokens)"
    " VALUES (?, ?, ?, ?, ?, 'in_progress', ?, ?, ?, ?)"
)
_RETIRE = "UPDATE vector_store_files SET deleted = 1 WHERE project = ? AND key = ?"
_REUSE = "UPDATE vector_store_files SET attributes = ?, batch = ? WHERE project = ? AND key = ?"
_FURTHER = "INSERT OR IGNORE INTO further_batches (project, batch, link) VALUES (?, ?, ?)"
_OTHERS = "SELECT batch FROM further_batches WHERE project = ? AND link = ?"
_TOUCH: Final = "UPDATE vector_stores SET last_active_at = ? WHERE project = ? AND key = ? AND last_active_at < ?"


def file_key(cursor: Cursor, project: int, file_id: str) -> int:
    """Return the key of a file that can be attached. Raises NotFoundError."""
    row: tuple[int] | None = first(cursor, _FILE, (project, file_id, clock.now()))
    if row is None:
        raise no_such_file(file_id, param="file_id")
    return row[0]


def is_live(cursor: Cursor, project: int, key: int) -> bool:
    """Tell whether a file was not deleted."""
    return first(cursor, _LIVE, (project, key)) is not None


def attach(
    cursor: Cursor,
    state: Database,
    work: SqliteWork,
    *,
    project: int,
    store: int,
    file: int,
    by: Attach,
    batch: int,
) -> None:
    """Put a file into a store and order its ingestion, inside a write.

    A file that is there with the same recipe keeps its place and only takes over the attributes. It stays in the
    batches that it came with, also where another recipe gives it a new place.
    """
    attributes = encode_attributes(by.attributes)
    existing: tuple[int, int, str, int, int] | None = first(cursor, _EXISTING, (project, file, store))
    held = batch
    if existing is not None:
        key, earlier, status, *recipe = existing
        work.enqueue(cursor, project, "sync_link", store=store, file=file, link=key)
        if status in ("completed", "in_progress") and recipe == [by.recipe.max_tokens, by.recipe.overlap_tokens]:
            cursor.execute(_REUSE, (attributes, earlier or batch, project, key))
            _join(cursor, project, key, earlier or batch, (batch,))
            return
        cursor.execute(_RETIRE, (project, key))
        # Who waits for a file may cancel it: the batch that waits already, else the new one.
        held = (earlier or batch) if status == "in_progress" else batch
    link = state.keys.take(cursor, "vector_store_files")
    cursor.execute(
        _INSERT,
        (project, link, store, file, held, clock.now(), attributes, by.recipe.max_tokens, by.recipe.overlap_tokens),
    )
    if existing is not None:
        others: list[tuple[int]] = cursor.execute(_OTHERS, (project, existing[0])).fetchall()
        _join(cursor, project, link, held, (existing[1], batch, *(other for (other,) in others)))
    work.enqueue(cursor, project, "ingest", store=store, file=file, link=link)


def _join(cursor: Cursor, project: int, link: int, held: int, batches: Iterable[int]) -> None:
    """Count a place to `batches` too (0: none) besides the one that holds it."""
    for batch in batches:
        if batch not in (0, held):
            cursor.execute(_FURTHER, (project, batch, link))


def touch(cursor: Cursor, project: int, store: VectorStore, *, every: float = 0.0) -> None:
    """Note that a store was used, unless that was noted less than `every` seconds ago; inside a write."""
    now = clock.now()
    cursor.execute(_TOUCH, (now, project, store.key, now - every))
