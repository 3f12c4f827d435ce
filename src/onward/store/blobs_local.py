"""Blobs in a directory: `<root>/<project>/<first two digits>/<sha256>`, written beside it and renamed into place.

A writer's temporary file is locked for as long as its process lives, so what dead processes left can be told from
uploads under way. Every call that touches the disk runs in a thread.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Final, TypeVar

from onward.core.errors import PayloadTooLargeError
from onward.core.ids import new_suffix
from onward.ports.blobs import Blob

T = TypeVar("T")

BUFFER: Final = 1024 * 1024
"""Bytes that gather in memory before a thread hashes and writes them."""
LOCK_RETRY_SECONDS: Final = 0.005


class LocalBlobs:
    """The blobs under one directory, shared by several processes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, project: int, sha256: str) -> Path:
        """Return where the bytes of a blob are."""
        return self._root / str(project) / sha256[:2] / sha256

    @asynccontextmanager
    async def writer(self, project: int, *, limit: int) -> AsyncGenerator["LocalWriter"]:
        """Open a writer; leaving the context without `publish` leaves nothing on disk."""
        opened: list[IO[bytes]] = []
        try:
            await _in_thread(lambda: opened.append(self._open_temporary()))
            yield LocalWriter(self, project, opened[0], limit)
        finally:
            for handle in opened:
                await _in_thread(lambda handle=handle: _discard(handle))

    def _open_temporary(self) -> IO[bytes]:
        folder = self._root / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a") as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
            handle = (folder / new_suffix()).open("xb", buffering=0)
            fcntl.flock(handle, fcntl.LOCK_EX)
        return handle

    def hold(self, project: int, sha256: str) -> AbstractAsyncContextManager[None]:
        """Keep other tasks and processes from publishing or removing a blob of the same shard."""
        return self._hold(project, sha256)

    @asynccontextmanager
    async def _hold(self, project: int, sha256: str) -> AsyncGenerator[None]:
        opened: list[IO[str]] = []
        try:
            await _in_thread(lambda: opened.append(self._open_shard(project, sha256)))
            handle = opened[0]
            while not _try_lock(handle):  # noqa: ASYNC110 - the holder may be another process
                await asyncio.sleep(LOCK_RETRY_SECONDS)
            yield
        finally:
            for handle in opened:
                handle.close()

    def _open_shard(self, project: int, sha256: str) -> IO[str]:
        folder = self.path(project, sha256).parent
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / ".lock").open("a")

    async def read(self, project: int, sha256: str, *, chunk: int = 256 * 1024) -> AsyncIterator[bytes]:
        """Iterate over the bytes. Raises FileNotFoundError before the first chunk."""
        opened: list[IO[bytes]] = []
        try:
            await _in_thread(lambda: opened.append(self.path(project, sha256).open("rb", buffering=0)))
            while data := await _in_thread(lambda: opened[0].read(chunk)):
                yield data
        finally:
            for handle in opened:
                handle.close()

    async def remove(self, project: int, sha256: str) -> bool:
        """Remove a blob; False where there was none."""
        return await asyncio.to_thread(_unlink, self.path(project, sha256))

    async def sweep(self) -> int:
        """Remove the temporary files of writers whose process is gone."""
        return await asyncio.to_thread(self._sweep)

    def _sweep(self) -> int:
        folder = self._root / "incoming"
        if not folder.is_dir():
            return 0
        removed = 0
        with (folder / ".lock").open("a") as gate:
            # A writer creates and locks its file under this gate, so an unlocked file has no writer.
            fcntl.flock(gate, fcntl.LOCK_EX)
            for path in folder.iterdir():
                if path.name == ".lock":
                    continue
                with suppress(FileNotFoundError), path.open("ab") as handle:
                    if _try_lock(handle):
                        removed += _unlink(path)
        return removed


class LocalWriter:
    """Bytes of one blob on their way: hashed and written in pieces of a megabyte."""

    def __init__(self, blobs: LocalBlobs, project: int, handle: IO[bytes], limit: int) -> None:
        self._blobs = blobs
        self._project = project
        self._handle = handle
        self._limit = limit
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._size = 0
        self._blob: Blob | None = None

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    async def write(self, data: bytes) -> None:
        """Append bytes. Raises PayloadTooLargeError beyond the limit."""
        self._size += len(data)
        if self._size > self._limit:
            self._pending.clear()
            raise PayloadTooLargeError(
                f"The file is too large. The maximum size of a file is {self._limit} bytes.", param="file"
            )
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= BUFFER:
            await _in_thread(self._flush)

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[self._handle.write(view) :]

    async def seal(self) -> Blob:
        """Flush the bytes to disk and return their address."""
        self._blob = await _in_thread(self._seal)
        return self._blob

    def _seal(self) -> Blob:
        self._flush()
        os.fsync(self._handle.fileno())
        return Blob(self._hash.hexdigest(), self._size)

    async def publish(self) -> None:
        """Move the sealed bytes to their address."""
        assert self._blob is not None, "publish comes after seal"
        source, target = Path(self._handle.name), self._blobs.path(self._project, self._blob.sha256)
        await _in_thread(lambda: _move(source, target))


async def _in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread and return only when it has ended, also where the caller was cancelled meanwhile.

    A file that another thread still writes to must not be closed or removed under it.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        source.unlink()
        return
    source.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _discard(handle: IO[bytes]) -> None:
    _unlink(Path(handle.name))
    handle.close()


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _try_lock(handle: IO[bytes] | IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
