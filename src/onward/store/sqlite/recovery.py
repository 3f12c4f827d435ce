"""Across projects: runs whose owner died, found by the store's clock, or at once by the lock that died with it."""

import asyncio
from typing import Final

from onward.store.sqlite.cursor import Cursor
from onward.store.sqlite.database import Database
from onward.store.sqlite.leases import expire_leases, lease_owners, lost_runs, settle_if_lost
from onward.store.sqlite.owners import Owners

BATCH: Final = 128


class SqliteRecovery:
    """Ends what nobody continues."""

    def __init__(self, state: Database, owners: Owners) -> None:
        self._state = state
        self._owners = owners

    async def settle_expired(self) -> int:
        """End runs whose owner died or whose lease has run out as failed, waiting runs past their expiry as expired.

        Returns how many.
        """
        await self._expire_dead()
        total, count = 0, BATCH
        while count >= BATCH:
            count = await self._state.write(_settle_batch)
            total += count
        return total

    async def _expire_dead(self) -> None:
        owners = await self._state.read(lease_owners)
        dead = await asyncio.to_thread(self._owners.dead, owners) if owners else []
        if dead:
            await self._state.write(lambda cursor: expire_leases(cursor, dead))


def _settle_batch(cursor: Cursor) -> int:
    return sum(settle_if_lost(cursor, project, log, run) for project, log, run in lost_runs(cursor, BATCH))
