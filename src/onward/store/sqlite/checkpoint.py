"""Moving the write-ahead log into the file, away from every request: one elected process does it in a thread.

A commit that checkpoints by itself would stall the event loop for tens of milliseconds.
"""

import fcntl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import apsw

from onward.store.sqlite.cursor import cursor_of, scalar

INTERVAL: Final = 1.0
RESTART_PAGES: Final = 16_384
"""A longer log is checkpointed in a mode that makes writers wait for its last pages, so that it can start over."""


class Checkpointer:
    """A daemon thread that checkpoints while this process holds the election lock, which dies with the process."""

    def __init__(self, path: Path, connect: Callable[[], apsw.Connection]) -> None:
        self._lock_path = path.with_suffix(".checkpoint")
        self._connect = connect
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"checkpoint-{path.stem}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give up the election."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with self._lock_path.open("a") as lock:
            while not _elected(lock):
                if self._stop.wait(INTERVAL):
                    return
            connection = self._connect()
            try:
                self._checkpoint_changes(connection)
            finally:
                connection.close()

    def _checkpoint_changes(self, connection: apsw.Connection) -> None:
        cursor = cursor_of(connection)
        seen = -1
        while not self._stop.wait(INTERVAL):
            version: int = scalar(cursor, "PRAGMA data_version")
            if version != seen and _checkpoint(connection):
                seen = version


def _elected(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _checkpoint(connection: apsw.Connection) -> bool:
    try:
        pages, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if pages > RESTART_PAGES:
            pages, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    except (apsw.BusyError, apsw.LockedError):
        return False
    return moved >= pages
