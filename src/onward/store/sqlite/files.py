"""Files of one project in state.db, over content-addressed blobs: rows say what is there, blobs hold the bytes.

A blob is removed with the last row that names it. Rows and blobs change under the blob's lock, so that an upload of
the same content at the same moment keeps its bytes.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from onward.core import clock
from onward.core.ids import new_id
from onward.ports.blobs import Blobs, BlobWriter
from onward.ports.files import MAX_FILE_BYTES, File, FilePage, NewFile, Purpose, no_such_file
from onward.ports.passages import PassageIndex
from onward.ports.runs import Page
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.pages import Place, select_page
from onward.store.sqlite.work import SqliteWork

CLEANUP_GRACE: Final = 5.0
"""Seconds after which the worker does what a request that deletes did not live to do."""

_COLUMNS = "key, id, filename, purpose, size, sha256, media_type, created_at, expires_at"
LIVE: Final = "deleted = 0 AND (expires_at IS NULL OR expires_at > ?)"
_INSERT = f"INSERT INTO files (project, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_GET = f"SELECT {_COLUMNS} FROM files WHERE project = ? AND id = ? AND {LIVE}"
_LIST = f"SELECT {_COLUMNS} FROM files WHERE project = ? AND {LIVE}"
_PLACE = "SELECT created_at, key FROM files WHERE project = ? AND id = ?"
_DELETE = (
    "UPDATE files SET deleted = 1, filename = '', media_type = NULL WHERE project = ? AND key = ? AND deleted = 0"
    " RETURNING key"
)
_DETACH = (
    "UPDATE vector_store_files SET deleted = 1 WHERE project = ? AND file = ? AND deleted = 0 RETURNING store, key"
)
_CONTENT = "SELECT sha256 FROM files WHERE project = ? AND key = ? AND deleted = 1"
_FORGET = "UPDATE files SET sha256 = '' WHERE project = ? AND key = ? AND deleted = 1"
_REFERRED = "SELECT 1 FROM files WHERE project = ? AND sha256 = ? AND deleted = 0"


class SqliteFiles:
    """Files of one project."""

    def __init__(self, *, state: Database, project: int, blobs: Blobs, index: PassageIndex, work: SqliteWork) -> None:
        self._state = state
        self._project = project
        self._blobs = blobs
        self._index = index
        self._work = work

    @asynccontextmanager
    async def receive(self) -> AsyncGenerator["SqliteIncoming"]:
        """Open an upload; leaving the context without `finish` leaves nothing."""
        async with self._blobs.writer(self._project, limit=MAX_FILE_BYTES) as writer:
            yield SqliteIncoming(self, writer)

    async def adopt(self, writer: BlobWriter, new: NewFile) -> File:
        """Make written bytes a file."""
        blob = await writer.seal()
        created_at = clock.now()
        expires_at = None if new.expires_in is None else created_at + new.expires_in

        def insert(cursor: Cursor) -> File:
            file = File(
                key=self._state.keys.take(cursor, "files"),
                id=new_id("file-"),
                filename=new.filename,
                purpose=new.purpose,
                size=blob.size,
                sha256=blob.sha256,
                media_type=new.media_type,
                created_at=created_at,
                expires_at=expires_at,
            )
            values = (file.filename, file.purpose, file.size, file.sha256, file.media_type, created_at, expires_at)
            cursor.execute(_INSERT, (self._project, file.key, file.id, *values))
            return file

        async with self._blobs.hold(self._project, blob.sha256):
            await writer.publish()
            return await self._state.write(insert)

    async def get(self, file_id: str) -> File:
        """Return a file. Raises NotFoundError."""

        def find(cursor: Cursor) -> File | None:
            row = first(cursor, _GET, (self._project, file_id, clock.now()))
            return None if row is None else _file(*row)

        file = await self._state.read(find)
        if file is None:
            raise no_such_file(file_id)
        return file

    async def page(self, page: Page, *, purpose: str | None = None) -> FilePage:
        """Return a page of files. Raises RequestError for an unknown cursor."""

        def look(cursor: Cursor) -> FilePage:
            def place(public_id: str) -> Place | None:
                return first(cursor, _PLACE, (self._project, public_id))

            files, has_more = select_page(
                cursor,
                page,
                select=_LIST if purpose is None else f"{_LIST} AND purpose = ?",
                order_by=("created_at", "key"),
                values=(self._project, clock.now(), *(() if purpose is None else (purpose,))),
                find=place,
                read=_file,
            )
            return FilePage(files, has_more)

        return await self._state.read(look, long=page.limit > 256)

    async def delete(self, file_id: str) -> None:
        """Delete a file and take it out of every vector store. Raises NotFoundError."""
        file = await self.get(file_id)
        orders = await self._state.write(
            lambda cursor: delete_file(cursor, self._work, self._project, file.key, delay=CLEANUP_GRACE)
        )
        for order in orders:
            if order.link:
                await self._index.unlink(self._project, order.store, order.link)
            else:
                await release_content(self._state, self._blobs, self._project, file.key)
            await self._work.discard(self._project, order.key)

    def path(self, file: File) -> Path:
        """Return where the bytes of a file are."""
        return self._blobs.path(self._project, file.sha256)

    def read(self, file: File) -> AsyncIterator[bytes]:
        """Iterate over the bytes of a file."""
        return self._blobs.read(self._project, file.sha256)


class SqliteIncoming:
    """An upload under way."""

    def __init__(self, files: SqliteFiles, writer: BlobWriter) -> None:
        self._files = files
        self._writer = writer

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self._writer.size

    async def write(self, data: bytes) -> None:
        """Append bytes. Raises PayloadTooLargeError."""
        await self._writer.write(data)

    async def finish(self, new: NewFile) -> File:
        """Make the bytes a file."""
        return await self._files.adopt(self._writer, new)


class CleanUp(Struct, frozen=True):
    """An order to clean up behind a deleted file: `link` 0 stands for its bytes."""

    key: int
    store: int
    link: int


def delete_file(cursor: Cursor, work: SqliteWork, project: int, key: int, *, delay: float) -> list[CleanUp]:
    """Delete a file's row and its places in stores inside a write; return the clean-ups it ordered.

    They are empty where the file is gone already.
    """
    if not cursor.execute(_DELETE, (project, key)).fetchall():
        return []
    orders: list[CleanUp] = []
    for store, link in cursor.execute(_DETACH, (project, key)).fetchall():
        order = work.enqueue(cursor, project, "sync_link", store=store, link=link, delay=delay)
        orders.append(CleanUp(order, store, link))
    return [*orders, CleanUp(work.enqueue(cursor, project, "release_file", file=key, delay=delay), 0, 0)]


async def release_content(state: Database, blobs: Blobs, project: int, key: int) -> None:
    """Remove the blob of a deleted file, unless another file names it; repeating this changes nothing."""
    row: tuple[str] | None = await state.read(lambda cursor: first(cursor, _CONTENT, (project, key)))
    if row is None or not row[0]:
        return
    sha256 = row[0]
    async with blobs.hold(project, sha256):
        referred = await state.read(lambda cursor: first(cursor, _REFERRED, (project, sha256)) is not None)
        if not referred:
            await blobs.remove(project, sha256)
    await state.write(lambda cursor: cursor.execute(_FORGET, (project, key)) and None)


def _file(
    key: int,
    public_id: str,
    filename: str,
    purpose: Purpose,
    size: int,
    sha256: str,
    media_type: str | None,
    created_at: float,
    expires_at: float | None,
) -> File:
    return File(
        key=key,
        id=public_id,
        filename=filename,
        purpose=purpose,
        size=size,
        sha256=sha256,
        media_type=media_type,
        created_at=created_at,
        expires_at=expires_at,
    )
