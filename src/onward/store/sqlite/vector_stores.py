"""Vector stores of one project in state.db. What is true stands here; the index of passages follows it.

Every change that the index has to follow orders that as durable work in the same transaction, and then does it at once:
the order only matters where this process dies between the two.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from onward.core import clock
from onward.core.ids import new_id
from onward.ports.filters import Attributes
from onward.ports.passages import PassageIndex
from onward.ports.runs import Page
from onward.ports.vector_stores import (
    Attach,
    FileBatch,
    LinkStatus,
    Named,
    NewStore,
    StoreChange,
    StoreFile,
    StoreFilePage,
    StorePage,
    VectorStore,
)
from onward.store.sqlite.attaching import attach, file_key, is_live, touch
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.files import CLEANUP_GRACE, LIVE
from onward.store.sqlite.pages import Place, select_page
from onward.store.sqlite.store_rows import (
    LINK_COLUMNS,
    LINKS,
    STORE_COLUMNS,
    decode_attributes,
    encode_attributes,
    find_batch,
    find_link,
    find_store,
    read_link,
    read_store,
    usable_store,
)
from onward.store.sqlite.work import SqliteWork

SLICE: Final = 50
"""Files attached or cancelled in one transaction, so that no turn waits long for its own."""
TOUCH_SECONDS: Final = 1.0

_INSERT = (
    "INSERT INTO vector_stores"
    " (project, key, id, name, description, metadata, created_at, last_active_at, expires_days)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_OPEN = "SELECT 1 FROM vector_stores WHERE project = ? AND key = ? AND deleted = 0"
_LIST = f"SELECT {STORE_COLUMNS} FROM vector_stores WHERE project = ? AND deleted = 0"
_PLACE = "SELECT created_at, key FROM vector_stores WHERE project = ? AND id = ?"
_UPDATE = (
    "UPDATE vector_stores SET name = ?, description = ?, metadata = ?, expires_days = ?, last_active_at = ?"
    " WHERE project = ? AND key = ?"
)
_DELETE = (
    "UPDATE vector_stores SET deleted = 1, name = '', description = NULL, metadata = x'7b7d'"
    " WHERE project = ? AND key = ?"
)
_BATCH = "INSERT INTO file_batches (project, key, id, store, created_at) VALUES (?, ?, ?, ?, ?)"
_STOP = "UPDATE file_batches SET stopped = 1 WHERE project = ? AND key = ?"
_CANCEL = (
    "UPDATE vector_store_files SET status = 'cancelled' WHERE project = ?1 AND key IN (SELECT key FROM"
    " vector_store_files WHERE project = ?1 AND batch = ?2 AND batch <> 0 AND deleted = 0"
    " AND status = 'in_progress' LIMIT ?3) RETURNING key"
)
_LINK_PLACE = (
    f"SELECT l.created_at, l.key FROM {LINKS} WHERE l.project = ? AND l.store = ? AND f.id = ?"
    " ORDER BY l.key DESC LIMIT 1"
)
_FILES = f"SELECT {LINK_COLUMNS} FROM {LINKS} WHERE l.project = ? AND l.store = ? AND l.deleted = 0"
_OF_BATCH = " AND l.batch = ? AND l.batch <> 0"
_SHARED = "SELECT 1 FROM further_batches WHERE project = ? AND batch = ? LIMIT 1"
_OF_SHARED_BATCH = (
    " AND (l.batch = ? AND l.batch <> 0 OR l.key IN (SELECT link FROM further_batches WHERE project = ? AND batch = ?))"
)
_ATTRIBUTES = "UPDATE vector_store_files SET attributes = ? WHERE project = ? AND key = ?"
_DETACH = "UPDATE vector_store_files SET deleted = 1 WHERE project = ? AND key = ?"
_NAMED = (
    f"SELECT f.id, f.filename, l.attributes FROM {LINKS} WHERE l.project = ? AND l.key = ?"
    f" AND l.deleted = 0 AND l.status = 'completed' AND f.{LIVE.replace('(expires_at', '(f.expires_at')}"
)


class SqliteVectorStores:
    """Vector stores of one project."""

    def __init__(self, *, state: Database, project: int, index: PassageIndex, work: SqliteWork) -> None:
        self._state = state
        self._project = project
        self._index = index
        self._work = work

    async def create(self, new: NewStore, files: Sequence[Attach] = ()) -> VectorStore:
        """Create a store that begins with `files`, attached a slice a transaction. Raises NotFoundError."""
        now = clock.now()

        def insert(cursor: Cursor) -> tuple[int, str]:
            key, store_id = self._state.keys.take(cursor, "vector_stores"), new_id("vs_")
            values = (new.name, new.description, new.metadata, now, now, new.expires_days)
            cursor.execute(_INSERT, (self._project, key, store_id, *values))
            return key, store_id

        keys = await self._state.read(lambda cursor: self._file_keys(cursor, files), long=len(files) > SLICE)
        store, store_id = await self._state.write(insert)
        await self._attach_all(store, keys, files)
        return await self.get(store_id)

    def _file_keys(self, cursor: Cursor, files: Sequence[Attach]) -> list[int]:
        return [file_key(cursor, self._project, file.file_id) for file in files]

    async def _attach_all(self, store: int, keys: Sequence[int], files: Sequence[Attach], *, batch: int = 0) -> None:
        pairs = list(zip(keys, files, strict=True))

        def insert(cursor: Cursor, start: int) -> None:
            # Store and files may have been deleted since they were checked, in another transaction.
            if first(cursor, _OPEN, (self._project, store)) is None:
                return
            for file, by in pairs[start : start + SLICE]:
                if is_live(cursor, self._project, file):
                    self._attach(cursor, store, file, by, batch)

        for start in range(0, len(pairs), SLICE):
            await self._state.write(lambda cursor, start=start: insert(cursor, start))
            self._work.notify()

    def _attach(self, cursor: Cursor, store: int, file: int, by: Attach, batch: int = 0) -> None:
        attach(cursor, self._state, self._work, project=self._project, store=store, file=file, by=by, batch=batch)

    async def get(self, store_id: str) -> VectorStore:
        """Return a store. Raises NotFoundError."""
        return await self._state.read(lambda cursor: find_store(cursor, self._project, store_id))

    async def page(self, page: Page) -> StorePage:
        """Return a page of stores. Raises NotFoundError for an unknown cursor."""

        def look(cursor: Cursor) -> StorePage:
            def place(public_id: str) -> Place | None:
                return first(cursor, _PLACE, (self._project, public_id))

            stores, has_more = select_page(
                cursor,
                page,
                select=_LIST,
                order_by=("created_at", "key"),
                values=(self._project,),
                find=place,
                read=read_store,
            )
            return StorePage(stores, has_more)

        return await self._state.read(look)

    async def update(self, store_id: str, change: StoreChange) -> VectorStore:
        """Change a store. Raises NotFoundError, RequestError."""

        def alter(cursor: Cursor) -> VectorStore:
            store = usable_store(cursor, self._project, store_id)
            days = store.expires_days if change.expires_days is None else change.expires_days or None
            values = (
                store.name if change.name is None else change.name,
                store.description if change.description is None else change.description,
                store.metadata if change.metadata is None else change.metadata,
                days,
                clock.now(),
            )
            cursor.execute(_UPDATE, (*values, self._project, store.key))
            return find_store(cursor, self._project, store_id)

        return await self._state.write(alter)

    async def delete(self, store_id: str) -> None:
        """Delete a store; its rows and links go in slices behind it. Raises NotFoundError."""

        def mark(cursor: Cursor) -> None:
            store = find_store(cursor, self._project, store_id)
            cursor.execute(_DELETE, (self._project, store.key))
            self._work.enqueue(cursor, self._project, "drop_store", store=store.key)

        await self._state.write(mark)
        self._work.notify()

    async def attach(self, store_id: str, file: Attach) -> StoreFile:
        """Attach a file and order its ingestion. Raises NotFoundError, RequestError."""

        def insert(cursor: Cursor) -> StoreFile:
            store = usable_store(cursor, self._project, store_id)
            key = file_key(cursor, self._project, file.file_id)
            self._attach(cursor, store.key, key, file)
            touch(cursor, self._project, store)
            return find_link(cursor, self._project, store, file.file_id)

        link = await self._state.write(insert)
        self._work.notify()
        return link

    async def attach_batch(self, store_id: str, files: Sequence[Attach]) -> FileBatch:
        """Attach files together, a slice a transaction, all known before. Raises NotFoundError, RequestError."""

        def check(cursor: Cursor) -> tuple[VectorStore, list[int]]:
            return usable_store(cursor, self._project, store_id), self._file_keys(cursor, files)

        def begin(cursor: Cursor) -> tuple[int, str]:
            key, batch_id = self._state.keys.take(cursor, "file_batches"), new_id("vsfb_")
            cursor.execute(_BATCH, (self._project, key, batch_id, store.key, clock.now()))
            touch(cursor, self._project, store)
            return key, batch_id

        store, keys = await self._state.read(check, long=len(files) > SLICE)
        batch, batch_id = await self._state.write(begin)
        await self._attach_all(store.key, keys, files, batch=batch)
        return await self.batch(store_id, batch_id)

    async def batch(self, store_id: str, batch_id: str) -> FileBatch:
        """Return a batch. Raises NotFoundError."""
        return await self._state.read(
            lambda cursor: find_batch(cursor, self._project, find_store(cursor, self._project, store_id), batch_id)
        )

    async def cancel_batch(self, store_id: str, batch_id: str) -> FileBatch:
        """Cancel what of a batch is not ingested yet. Raises NotFoundError."""
        batch = await self.batch(store_id, batch_id)
        if batch.counts.in_progress:
            await self._state.write(lambda cursor: cursor.execute(_STOP, (self._project, batch.key)) and None)

        def cancel(cursor: Cursor) -> int:
            return len(list(cursor.execute(_CANCEL, (self._project, batch.key, SLICE))))

        while await self._state.write(cancel) == SLICE:
            pass
        return await self.batch(store_id, batch_id)

    async def file(self, store_id: str, file_id: str) -> StoreFile:
        """Return a file's place in a store. Raises NotFoundError."""
        return await self._state.read(
            lambda cursor: find_link(cursor, self._project, find_store(cursor, self._project, store_id), file_id)
        )

    async def files(
        self, store_id: str, page: Page, *, status: LinkStatus | None = None, batch_id: str | None = None
    ) -> StoreFilePage:
        """Return a page of the files of a store or batch. Raises NotFoundError, RequestError."""

        def look(cursor: Cursor) -> StoreFilePage:
            store = find_store(cursor, self._project, store_id)
            select, values = _FILES, [self._project, store.key]
            if batch_id is not None:
                batch = find_batch(cursor, self._project, store, batch_id).key
                shared = first(cursor, _SHARED, (self._project, batch)) is not None
                select += _OF_SHARED_BATCH if shared else _OF_BATCH
                values += (batch, self._project, batch) if shared else (batch,)
            if store.expired:
                return StoreFilePage((), has_more=False)

            def place(public_id: str) -> Place | None:
                return first(cursor, _LINK_PLACE, (self._project, store.key, public_id))

            files, has_more = select_page(
                cursor,
                page,
                select=select if status is None else f"{select} AND l.status = ?",
                order_by=("l.created_at", "l.key"),
                values=(*values, *(() if status is None else (status,))),
                find=place,
                read=lambda *row: read_link(store.id, *row),
            )
            return StoreFilePage(files, has_more)

        return await self._state.read(look)

    async def set_attributes(self, store_id: str, file_id: str, attributes: Attributes) -> StoreFile:
        """Replace the attributes of a file in a store. Raises NotFoundError, RequestError."""

        def alter(cursor: Cursor) -> tuple[StoreFile, int, int]:
            store = usable_store(cursor, self._project, store_id)
            link = find_link(cursor, self._project, store, file_id)
            cursor.execute(_ATTRIBUTES, (encode_attributes(attributes), self._project, link.key))
            touch(cursor, self._project, store)
            order = self._order_sync(cursor, store.key, link.key)
            return find_link(cursor, self._project, store, file_id), store.key, order

        link, store, order = await self._state.write(alter)
        await self._index.set_attributes(self._project, store, link.key, attributes)
        await self._work.discard(self._project, order)
        return link

    async def detach(self, store_id: str, file_id: str) -> None:
        """Take a file out of a store. Raises NotFoundError."""

        def remove(cursor: Cursor) -> tuple[int, int, int]:
            store = find_store(cursor, self._project, store_id)
            link = find_link(cursor, self._project, store, file_id)
            cursor.execute(_DETACH, (self._project, link.key))
            touch(cursor, self._project, store)
            return store.key, link.key, self._order_sync(cursor, store.key, link.key)

        store, link, order = await self._state.write(remove)
        await self._index.unlink(self._project, store, link)
        await self._work.discard(self._project, order)

    def _order_sync(self, cursor: Cursor, store: int, link: int) -> int:
        return self._work.enqueue(cursor, self._project, "sync_link", store=store, link=link, delay=CLEANUP_GRACE)

    async def text(self, store_id: str, file_id: str) -> Sequence[str]:
        """Return the parsed text of a file in a store. Raises NotFoundError."""

        def find(cursor: Cursor) -> tuple[int, int]:
            store = find_store(cursor, self._project, store_id)
            return store.key, find_link(cursor, self._project, store, file_id).key

        contents = await self._index.file_contents(self._project, *await self._state.read(find))
        return [content.text for content in contents or ()]

    async def open(self, store_ids: Sequence[str]) -> Sequence[int]:
        """Return the keys of stores about to be searched. Raises NotFoundError, RequestError."""

        def find(cursor: Cursor) -> list[VectorStore]:
            return [usable_store(cursor, self._project, store_id) for store_id in dict.fromkeys(store_ids)]

        stores = await self._state.read(find)
        idle = [store for store in stores if store.last_active_at < clock.now() - TOUCH_SECONDS]
        if idle:

            def note(cursor: Cursor) -> None:
                for store in idle:
                    touch(cursor, self._project, store, every=TOUCH_SECONDS)

            await self._state.write(note)
        return [store.key for store in stores]

    async def names(self, links: Sequence[int]) -> Mapping[int, Named]:
        """Return how files in stores, by the key of their place, are shown."""

        def look(cursor: Cursor) -> dict[int, Named]:
            found: dict[int, Named] = {}
            for link in dict.fromkeys(links):
                row = first(cursor, _NAMED, (self._project, link, clock.now()))
                if row is not None:
                    found[link] = Named(row[0], row[1], decode_attributes(row[2]))
            return found

        return await self._state.read(look)
