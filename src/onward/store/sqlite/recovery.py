"""Across projects: runs whose owner died, found by the store's clock."""

from typing import Final

from onward.store.sqlite.cursor import Cursor
from onward.store.sqlite.database import Database
from onward.store.sqlite.leases import lost_runs, settle_if_lost

BATCH: Final = 128


class SqliteRecovery:
    """Ends what nobody continues."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def settle_expired(self) -> int:
        """End runs whose lease has run out as failed, waiting runs past their expiry as expired; return how many."""
        total, count = 0, BATCH
        while count >= BATCH:
            count = await self._state.write(_settle_batch)
            total += count
        return total


def _settle_batch(cursor: Cursor) -> int:
    return sum(settle_if_lost(cursor, project, log, run) for project, log, run in lost_runs(cursor, BATCH))
