"""Group commit: several functions in one transaction, each undone alone when it fails."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from onward.core.errors import StorageFull
from onward.store.sqlite.cursor import Cursor, cursor_of
from onward.store.sqlite.keyspace import KeySpace


class Job:
    """A function waiting for its transaction, and the future that its caller awaits."""

    __slots__ = ("error", "fn", "future", "result")

    def __init__(self, fn: Callable[[Cursor], Any], future: asyncio.Future[Any]) -> None:
        self.fn = fn
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """Note that nothing of this job is stored."""
        self.error = StorageFull() if isinstance(error, apsw.FullError) else error

    def deliver(self) -> None:
        """Wake the caller; on the event loop only."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def run_batch(connection: apsw.Connection, jobs: Sequence[Job], keys: KeySpace) -> bool:
    """Run `jobs` in one transaction and note each one's outcome; False where the file is locked and nothing was run."""
    try:
        cursor = cursor_of(connection)
        cursor.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        return False
    except apsw.Error as error:
        for job in jobs:
            job.fail(error)
        return True
    try:
        if len(jobs) == 1:
            jobs[0].result = jobs[0].fn(cursor)
        else:
            for job in jobs:
                _run_alone(connection, job, keys)
        cursor.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - every caller must learn that its write is not stored
        keys.forget()
        if connection.in_transaction:
            cursor_of(connection).execute("ROLLBACK")
        for job in jobs:
            if job.error is None:
                job.fail(error)
    return True


def _run_alone(connection: apsw.Connection, job: Job, keys: KeySpace) -> None:
    control = cursor_of(connection)
    control.execute("SAVEPOINT job")
    try:
        job.result = job.fn(cursor_of(connection))
    except Exception as error:
        if not connection.in_transaction:
            raise
        keys.forget()
        control.execute("ROLLBACK TO job")
        job.fail(error)
    control.execute("RELEASE job")
