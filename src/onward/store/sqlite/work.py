"""Durable work in state.db: enqueued inside the transaction that causes it, claimed by a lease that moves `due_at`."""

import asyncio
from collections.abc import Sequence
from typing import Final

from onward.ports.work import WorkItem, WorkKind
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.owners import Owners

_NOW: Final = "unixepoch('subsec')"
_INSERT = f"INSERT INTO work (project, key, kind, store, file, link, due_at) VALUES (?, ?, ?, ?, ?, ?, {_NOW} + ?)"
_DUE = f"SELECT project, key FROM work WHERE due_at <= {_NOW} ORDER BY due_at, key LIMIT ?"
_CLAIM = (
    f"UPDATE work SET owner = ?, due_at = {_NOW} + ?, attempt = attempt + 1, fence = fence + 1"
    " WHERE project = ? AND key = ? RETURNING key, project, kind, store, file, link, attempt, fence"
)
_OURS = "project = ? AND key = ? AND fence = ?"
_RENEW = f"UPDATE work SET due_at = {_NOW} + ? WHERE {_OURS} RETURNING key"
_FINISH = f"DELETE FROM work WHERE {_OURS} RETURNING key"
_POSTPONE = f"UPDATE work SET owner = NULL, due_at = {_NOW} + ? WHERE {_OURS} RETURNING key"
_NEXT = f"SELECT due_at - {_NOW} FROM work ORDER BY due_at LIMIT 1"
_HELD = f"SELECT 1 FROM work WHERE {_OURS}"
_HOLDERS = f"SELECT DISTINCT owner FROM work WHERE owner IS NOT NULL AND due_at > {_NOW}"
_RELEASE = f"UPDATE work SET owner = NULL, due_at = {_NOW} WHERE owner = ? RETURNING key"
_REMOVE = "DELETE FROM work WHERE project = ? AND key = ?"


class SqliteWork:
    """Work of all projects of one state.db."""

    def __init__(self, state: Database) -> None:
        self._state = state
        self._owners = Owners(state.path.parent / "workers")
        self._news = asyncio.Event()

    def enqueue(
        self,
        cursor: Cursor,
        project: int,
        kind: WorkKind,
        *,
        store: int = 0,
        file: int = 0,
        link: int = 0,
        delay: float = 0.0,
    ) -> int:
        """Add an item inside a write of this database and return its key; `notify` once the write has ended."""
        key = self._state.keys.take(cursor, "work")
        cursor.execute(_INSERT, (project, key, kind, store, file, link, delay))
        return key

    def notify(self) -> None:
        """Wake whoever waits in this process."""
        self._news.set()

    async def wait(self, *, timeout: float) -> None:
        """Return at once after `notify`, else after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def claim(self, *, owner: str, seconds: float, limit: int) -> Sequence[WorkItem]:
        """Lease up to `limit` items that are due, oldest first."""
        self._owners.show(owner)

        def lease(cursor: Cursor) -> list[WorkItem]:
            due: list[tuple[int, int]] = list(cursor.execute(_DUE, (limit,)))
            rows = [cursor.execute(_CLAIM, (owner, seconds, *place)).fetchall()[0] for place in due]
            return [_item(*row) for row in rows]

        return await self._state.write(lease)

    async def release_dead(self) -> int:
        """Give back what owners whose process has ended still hold; return how many items."""
        owners = await self._state.read(lambda cursor: [row[0] for row in cursor.execute(_HOLDERS)])
        dead = await asyncio.to_thread(self._owners.dead, owners) if owners else []

        def release(cursor: Cursor) -> int:
            return sum(len(cursor.execute(_RELEASE, (owner,)).fetchall()) for owner in dead)

        return await self._state.write(release) if dead else 0

    def leave(self) -> None:
        """Say that this process claims no more."""
        self._owners.leave()

    async def renew(self, items: Sequence[WorkItem], *, seconds: float) -> Sequence[int]:
        """Extend leases and return the keys of the items that are still ours."""

        def extend(cursor: Cursor) -> list[int]:
            kept: list[int] = []
            for item in items:
                kept += [row[0] for row in cursor.execute(_RENEW, (seconds, *_place(item)))]
            return kept

        return await self._state.write(extend)

    async def finish(self, item: WorkItem) -> bool:
        """Remove an item that is still ours."""
        return await self._state.write(lambda cursor: finish(cursor, item))

    async def discard(self, project: int, key: int) -> None:
        """Remove an item whose work was done by whoever ordered it; a claimant's own `finish` then finds nothing."""
        await self._state.write(lambda cursor: cursor.execute(_REMOVE, (project, key)) and None)

    async def postpone(self, item: WorkItem, *, seconds: float) -> bool:
        """Give an item that is still ours back, due in `seconds`."""
        return await self._state.write(lambda cursor: bool(list(cursor.execute(_POSTPONE, (seconds, *_place(item))))))

    async def due_in(self) -> float | None:
        """Return seconds until the next item is due, 0 for now; None where there is none."""

        def look(cursor: Cursor) -> float | None:
            row: tuple[float] | None = first(cursor, _NEXT)
            return None if row is None else max(0.0, row[0])

        return await self._state.read(look)


def finish(cursor: Cursor, item: WorkItem) -> bool:
    """Remove a claimed item inside a write; False where it is no longer its claimant's."""
    return bool(list(cursor.execute(_FINISH, _place(item))))


def held(cursor: Cursor, item: WorkItem) -> bool:
    """Tell whether a claimed item is still its claimant's."""
    return first(cursor, _HELD, _place(item)) is not None


def _place(item: WorkItem) -> tuple[int, int, int]:
    return item.project, item.key, item.fence


def _item(
    key: int, project: int, kind: WorkKind, store: int, file: int, link: int, attempt: int, fence: int
) -> WorkItem:
    return WorkItem(
        key=key, project=project, kind=kind, store=store, file=file, link=link, attempt=attempt, fence=fence
    )
