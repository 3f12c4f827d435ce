"""Connections to index.db and the threads that use them: one writer, a few readers, never the event loop.

It knows no table but the schema file.
"""

# apsw's types name a buffer that the checker does not know.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

import apsw

from onward.retrieval.index.statements import read_sql, statement

T = TypeVar("T")
Value = str | int | float | bytes | None
Row = tuple[Value, ...]

BUSY_MS = 10_000
_APPLICATION_ID = 0x4F4E5749  # "ONWI"


class Session:
    """One thread's connection; statements go by name."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path), statementcachesize=64)
        self.connection.set_busy_timeout(BUSY_MS)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "cache_size=-8000",
        ):
            self.connection.execute(f"PRAGMA {pragma}").fetchall()

    def rows(self, name: str, **values: Value) -> list[Row]:
        """Run a statement and return its rows."""
        return cast("list[Row]", self.connection.execute(statement(name), values).fetchall())

    def row(self, name: str, **values: Value) -> Row | None:
        """Run a statement and return its first row."""
        rows = self.rows(name, **values)
        return rows[0] if rows else None

    def run(self, name: str, **values: Value) -> int:
        """Run a statement and return how many rows it changed."""
        self.connection.execute(statement(name), values)
        return self.connection.changes()

    def transaction(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in a write transaction, which takes the lock at its start."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result


class Database:
    """Threads with a session each; ``read`` and ``write`` run a function there."""

    def __init__(self, path: Path, *, readers: int = 2) -> None:
        self._path = path
        self._local = threading.local()
        self._sessions: list[Session] = []
        self._lock = threading.Lock()
        self._ready = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="index-reader")

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: work(self._session()))

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` on the writer thread in one transaction, which is whole even where the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, lambda: self._session().transaction(work))

    async def truncate_log(self) -> None:
        """Move everything from the write-ahead log into the file, so that deleted content is in neither."""

        def truncate() -> None:
            self._session().connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        await asyncio.get_running_loop().run_in_executor(self._writer, truncate)

    async def aclose(self) -> None:
        """Wait for what runs and close every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for session in self._sessions:
            session.connection.close()

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            with self._lock:
                session = Session(self._path)
                if not self._ready:
                    _create(session)
                    self._ready = True
                self._sessions.append(session)
            self._local.session = session
        return session


def _create(session: Session) -> None:
    (version,) = session.connection.execute("PRAGMA user_version").fetchall()[0]
    if version == 1:
        return
    if version != 0:
        raise RuntimeError(f"index.db has schema {version}: it was written by a newer release of Onward.")

    def create(session: Session) -> None:
        session.connection.execute(read_sql("schema"))
        session.connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        session.connection.execute("PRAGMA user_version=1")

    session.transaction(create)
