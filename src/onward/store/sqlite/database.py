"""One SQLite file: a single writer with group commit, and reads that do not wait for it.

All functions handed to `write` within one tick of the event loop share a transaction. Where nobody else holds the file,
that transaction runs on the loop itself, because two thread hops cost more than the commit; where the file is locked or
the queue is long or commits wait for the disk, it goes to a thread. This module must not know tables.
"""

import asyncio
import fcntl
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal, TypeVar

import apsw

from onward.store.sqlite.checkpoint import Checkpointer
from onward.store.sqlite.cursor import Cursor, cursor_of
from onward.store.sqlite.keyspace import KeySpace
from onward.store.sqlite.migrate import migrate
from onward.store.sqlite.writer import Job, run_batch

T = TypeVar("T")
Durability = Literal["process", "power"]
"""`process` survives the death of the process (kill -9); `power` also that of the machine, at one fsync a commit."""

INLINE_JOBS: Final = 48
"""A longer queue is committed in the thread, so that the loop is never held for more than a few milliseconds."""
LOCK_WAIT_MS: Final = 10_000
CACHED_STATEMENTS: Final = 256


def connect(path: Path, *, durability: Durability) -> apsw.Connection:
    """Open a connection with the pragmas that every connection of the project shares."""
    connection = apsw.Connection(str(path), statementcachesize=CACHED_STATEMENTS)
    connection.set_busy_timeout(LOCK_WAIT_MS)
    # Otherwise the planner looks at bound values and prepares many statements again at each execution.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    cursor = cursor_of(connection)
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA wal_autocheckpoint=0")
    cursor.execute(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.execute("PRAGMA temp_store=MEMORY")
    return connection


@contextmanager
def file_lock(path: Path) -> Generator[None]:
    """Hold an exclusive lock on `path` among all processes."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Database:
    """One open file. Belongs to the event loop that opened it; other processes may have it open too."""

    def __init__(self, path: Path, *, durability: Durability) -> None:
        self.path = path
        self.keys = KeySpace()
        self._durability: Durability = durability
        self._writer = connect(path, durability=durability)
        self._writer.set_busy_timeout(0)
        self._reader = connect(path, durability=durability)
        self._spare_readers: list[apsw.Connection] = []
        self._queue: list[Job] = []
        self._scheduled = False
        self._batch: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"write-{path.stem}")
        self._checkpointer = Checkpointer(path, partial(connect, path, durability=durability))
        self._closed = False

    @classmethod
    async def open(cls, path: Path, *, migrations: Traversable, durability: Durability = "process") -> "Database":
        """Open `path`, bringing its schema up to date under a lock. Raises StoreTooNew."""
        return await asyncio.to_thread(cls._open, path, migrations, durability)

    @classmethod
    def _open(cls, path: Path, migrations: Traversable, durability: Durability) -> "Database":
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.with_suffix(".lock")):
            connection = connect(path, durability=durability)
            try:
                migrate(connection, migrations)
            finally:
                connection.close()
            database = cls(path, durability=durability)
        database._checkpointer.start()
        return database

    async def write(self, fn: Callable[[Cursor], T]) -> T:
        """Run `fn` in a transaction and return its result once that is durable; an error in `fn` undoes `fn` alone.

        `fn` runs on the loop or in the writer thread: it must only use the cursor, and may be undone.
        """
        if self._closed:
            raise RuntimeError(f"{self.path.name} is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.append(Job(fn, future))
        if not self._scheduled and self._batch is None:
            self._scheduled = True
            loop.call_soon(self._flush)
        return await future

    def _flush(self) -> None:
        self._scheduled = False
        jobs = [job for job in self._queue if not job.future.cancelled()]
        self._queue.clear()
        if not jobs:
            return
        # An fsync would hold the loop: with `power` every commit goes to the thread.
        inline = self._durability == "process" and len(jobs) <= INLINE_JOBS
        if inline and run_batch(self._writer, jobs, self.keys):
            for job in jobs:
                job.deliver()
            return
        loop = asyncio.get_running_loop()
        self._batch = loop.run_in_executor(self._thread, self._commit_waiting, jobs)
        self._batch.add_done_callback(partial(self._delivered, jobs))

    def _commit_waiting(self, jobs: list[Job]) -> None:
        self._writer.set_busy_timeout(LOCK_WAIT_MS)
        try:
            if not run_batch(self._writer, jobs, self.keys):
                for job in jobs:
                    job.fail(apsw.BusyError(f"{self.path.name} stayed locked for {LOCK_WAIT_MS} ms"))
        finally:
            self._writer.set_busy_timeout(0)

    def _delivered(self, jobs: list[Job], batch: asyncio.Future[None]) -> None:
        self._batch = None
        error = batch.exception()
        for job in jobs:
            if error is not None:
                job.fail(error)
            job.deliver()
        if self._queue:
            self._flush()

    async def read(self, fn: Callable[[Cursor], T], *, long: bool = False) -> T:
        """Run `fn` on one consistent snapshot that has every finished write; `long` moves it off the loop."""
        if self._closed:
            raise RuntimeError(f"{self.path.name} is closed")
        if long:
            return await asyncio.to_thread(self._read_in_thread, fn)
        # The idle writer's page cache is warm: another connection must drop its own after each foreign commit.
        return _snapshot(self._reader if self._batch is not None else self._writer, fn)

    def _read_in_thread(self, fn: Callable[[Cursor], T]) -> T:
        try:
            connection = self._spare_readers.pop()
        except IndexError:
            connection = connect(self.path, durability=self._durability)
        try:
            return _snapshot(connection, fn)
        finally:
            if self._closed:
                connection.close()
            else:
                self._spare_readers.append(connection)

    async def close(self) -> None:
        """Wait for the batch under way and close all connections; later calls fail."""
        if self._closed:
            return
        while self._batch is not None or self._scheduled:
            await (self._batch if self._batch is not None else asyncio.sleep(0))
        self._closed = True
        self._thread.shutdown(wait=True)
        await asyncio.to_thread(self._checkpointer.stop)
        for connection in (self._writer, self._reader, *self._spare_readers):
            connection.close()


def _snapshot(connection: apsw.Connection, fn: Callable[[Cursor], T]) -> T:
    cursor = cursor_of(connection)
    cursor.execute("BEGIN")
    try:
        return fn(cursor)
    finally:
        cursor_of(connection).execute("COMMIT")
