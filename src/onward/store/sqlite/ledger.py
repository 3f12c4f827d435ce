"""What the ingestion worker reads and writes in state.db: orders, outcomes and expiry, under its work item's fence."""

from typing import Final

from onward.core import clock
from onward.ports.blobs import Blobs
from onward.ports.filters import Attributes
from onward.ports.parse import Recipe
from onward.ports.vector_stores import Fault, Order
from onward.ports.work import WorkItem
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.files import LIVE, delete_file, release_content
from onward.store.sqlite.store_rows import SECONDS_A_DAY, decode_attributes, encode_attributes, is_expired
from onward.store.sqlite.work import SqliteWork, finish, held

SLICE: Final = 100

_STORE = "SELECT expired, last_active_at, expires_days FROM vector_stores WHERE project = ? AND key = ? AND deleted = 0"
_ORDER = (
    "SELECT f.sha256, f.filename, f.media_type, l.attributes, l.max_tokens, l.overlap_tokens"
    " FROM vector_store_files AS l JOIN files AS f ON f.project = l.project AND f.key = l.file"
    " WHERE l.project = ? AND l.key = ? AND l.deleted = 0 AND l.status = 'in_progress'"
    f" AND f.{LIVE.replace('(expires_at', '(f.expires_at')}"
)
_COMPLETE = (
    "UPDATE vector_store_files SET status = 'completed', usage_bytes = ?, error_code = NULL, error_message = NULL"
    " WHERE project = ? AND key = ? AND deleted = 0 AND status = 'in_progress' AND attributes = ? RETURNING key"
)
_FAIL = (
    "UPDATE vector_store_files SET status = 'failed', error_code = ?, error_message = ?"
    " WHERE project = ? AND key = ? AND deleted = 0 AND status = 'in_progress' RETURNING key"
)
_ATTRIBUTES = (
    "SELECT attributes FROM vector_store_files WHERE project = ? AND key = ? AND deleted = 0"
    " AND status IN ('completed', 'in_progress')"
)
_DROP_FILES = (
    "DELETE FROM vector_store_files WHERE project = ?1 AND key IN"
    " (SELECT key FROM vector_store_files WHERE project = ?1 AND store = ?2 LIMIT ?3) RETURNING key"
)
_DROP_BATCHES = "DELETE FROM file_batches WHERE project = ? AND store = ?"
_EXPIRED_STORES = (
    "SELECT project, key FROM vector_stores WHERE deleted = 0 AND expired = 0 AND expires_days IS NOT NULL"
    " AND last_active_at <= ?1 - 86400 AND last_active_at + expires_days * ?2 <= ?1 LIMIT ?3"
)
_EXPIRE_STORE = "UPDATE vector_stores SET expired = 1 WHERE project = ? AND key = ?"
_EXPIRED_FILES = "SELECT project, key FROM files WHERE deleted = 0 AND expires_at <= ? LIMIT ?"


class SqliteLedger:
    """The ingestion worker's view of state.db, across projects."""

    def __init__(self, *, state: Database, blobs: Blobs, work: SqliteWork) -> None:
        self._state = state
        self._blobs = blobs
        self._work = work

    async def order(self, item: WorkItem) -> Order | None:
        """Return what an `ingest` item asks for; None where it is no longer wanted."""
        return await self._state.read(lambda cursor: _order(cursor, item))

    async def wanted(self, item: WorkItem) -> bool:
        """Tell whether the work is still ours and still wanted."""
        return await self._state.read(lambda cursor: held(cursor, item) and _order(cursor, item) is not None)

    async def complete(self, item: WorkItem, *, attributes: Attributes, usage_bytes: int) -> bool:
        """Set the file `completed` and finish the item in one transaction."""
        given = encode_attributes(attributes)

        def settle(cursor: Cursor) -> bool:
            if not held(cursor, item) or not _store_is_open(cursor, item):
                return False
            if not list(cursor.execute(_COMPLETE, (usage_bytes, item.project, item.link, given))):
                return False
            return finish(cursor, item)

        return await self._state.write(settle)

    async def fail(self, item: WorkItem, fault: Fault) -> bool:
        """Set the file `failed` and finish the item in one transaction."""

        def settle(cursor: Cursor) -> bool:
            if not held(cursor, item):
                return False
            changed = list(cursor.execute(_FAIL, (fault.code, fault.message, item.project, item.link)))
            return finish(cursor, item) and bool(changed)

        return await self._state.write(settle)

    async def attributes(self, item: WorkItem) -> Attributes | None:
        """Return the attributes that the index should show at the item's link; None: nothing."""

        def look(cursor: Cursor) -> Attributes | None:
            if not _store_is_open(cursor, item):
                return None
            row: tuple[bytes] | None = first(cursor, _ATTRIBUTES, (item.project, item.link))
            return None if row is None else decode_attributes(row[0])

        return await self._state.read(look)

    async def release(self, item: WorkItem) -> None:
        """Remove the bytes of a deleted file, unless another file has the same."""
        await release_content(self._state, self._blobs, item.project, item.file)

    async def drop_rows(self, item: WorkItem) -> bool:
        """Remove a slice of the rows of a deleted or expired store; False where none is left."""

        def drop(cursor: Cursor) -> bool:
            if _store_is_open(cursor, item):
                return False
            if len(list(cursor.execute(_DROP_FILES, (item.project, item.store, SLICE)))) == SLICE:
                return True
            cursor.execute(_DROP_BATCHES, (item.project, item.store))
            return False

        return await self._state.write(drop)

    async def expire(self) -> int:
        """Expire stores and files whose time has come; return how many."""
        now = clock.now()

        def due(cursor: Cursor) -> bool:
            stores = first(cursor, _EXPIRED_STORES, (now, SECONDS_A_DAY, 1))
            return stores is not None or first(cursor, _EXPIRED_FILES, (now, 1)) is not None

        def mark(cursor: Cursor) -> int:
            stores: list[tuple[int, int]] = list(cursor.execute(_EXPIRED_STORES, (now, SECONDS_A_DAY, SLICE)))
            for project, key in stores:
                cursor.execute(_EXPIRE_STORE, (project, key))
                self._work.enqueue(cursor, project, "drop_store", store=key)
            files: list[tuple[int, int]] = list(cursor.execute(_EXPIRED_FILES, (now, SLICE)))
            for project, key in files:
                delete_file(cursor, self._work, project, key, delay=0.0)
            return len(stores) + len(files)

        return await self._state.write(mark) if await self._state.read(due) else 0


def _store_is_open(cursor: Cursor, item: WorkItem) -> bool:
    row: tuple[int, float, int | None] | None = first(cursor, _STORE, (item.project, item.store))
    return row is not None and not is_expired(*row)


def _order(cursor: Cursor, item: WorkItem) -> Order | None:
    if not _store_is_open(cursor, item):
        return None
    row = first(cursor, _ORDER, (item.project, item.link, clock.now()))
    if row is None:
        return None
    sha256, filename, media_type, attributes, max_tokens, overlap_tokens = row
    return Order(
        sha256=sha256,
        filename=filename,
        media_type=media_type,
        attributes=decode_attributes(attributes),
        recipe=Recipe(max_tokens, overlap_tokens),
    )
