"""Across projects: runs whose owner died, found by the store's clock, or at once by the lock that died with it."""

import asyncio
from collections.abc import Sequence
from typing import Final

from onward.ports.runs import Adopted, Base, Lease
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.leases import (
    claim_lost,
    expire_leases,
    lease_owners,
    leases_of,
    lost_runs,
    settle_if_lost,
)
from onward.store.sqlite.owners import Owners
from onward.store.sqlite.run_events import drop_batches, raise_fence, read_batches, runs_with_batches
from onward.store.sqlite.run_rows import INPUT, OUTPUT, get_row, run_of, side_items

BATCH: Final = 128
ADOPTED_AT_ONCE: Final = 32

_NEEDED = """
SELECT EXISTS (SELECT 1 FROM run_items WHERE project = ?1 AND run = ?2)
  AND NOT EXISTS (SELECT 1 FROM recordings WHERE run = ?2 AND project = ?1)
"""


class SqliteRecovery:
    """Ends what nobody continues, and hands over what somebody can."""

    def __init__(self, state: Database, events: Database, owners: Owners) -> None:
        self._state = state
        self._events = events
        self._owners = owners

    async def settle_expired(self) -> int:
        """End runs whose owner died or whose lease has run out as failed, waiting runs past their expiry as expired.

        Returns how many. Runs that can go on are left for `adopt`.
        """
        await self._expire_dead()
        total, count = 0, BATCH
        while count >= BATCH:
            count = await self._state.write(_settle_batch)
            total += count
        return total

    async def adopt(self, owner: str, *, seconds: float) -> list[Adopted]:
        """Take over runs that can go on and whose owner died, a few at a time; their earlier owners write no more."""
        await self._expire_dead()
        if not await self._state.read(lease_owners):
            return []
        self._owners.show(owner)
        claimed = await self._state.write(lambda cursor: claim_lost(cursor, owner, seconds, ADOPTED_AT_ONCE))
        return [await self._adopted(project, lease) for project, lease in claimed]

    async def _adopted(self, project: int, lease: Lease) -> Adopted:
        await self._events.write(lambda cursor: raise_fence(cursor, project, lease))
        events = await self._events.read(lambda cursor: read_batches(cursor, project, lease.run, 0))
        return await self._state.read(lambda cursor: _adopted(cursor, project, lease, events), long=True)

    async def held(self, owner: str) -> dict[Lease, bool]:
        """Return the leases that `owner` holds, and whether their runs are to be cancelled."""
        return await self._state.read(lambda cursor: leases_of(cursor, owner))

    async def drop_stale_events(self) -> None:
        """Forget the batches of runs that have a recording, or are gone."""
        for project, run in await self._events.read(runs_with_batches):
            row = await self._state.read(lambda cursor, key=(project, run): first(cursor, _NEEDED, key))
            if row is None or not row[0]:
                await self._events.write(lambda cursor, key=(project, run): drop_batches(cursor, *key))

    async def _expire_dead(self) -> None:
        owners = await self._state.read(lease_owners)
        dead = await asyncio.to_thread(self._owners.dead, owners) if owners else []
        if dead:
            await self._state.write(lambda cursor: expire_leases(cursor, dead))


def _settle_batch(cursor: Cursor) -> int:
    return sum(settle_if_lost(cursor, project, log, run) for project, log, run in lost_runs(cursor, BATCH))


def _adopted(cursor: Cursor, project: int, lease: Lease, events: Sequence[bytes]) -> Adopted:
    row = get_row(cursor, project, lease.log, lease.run)
    assert row is not None, "a leased run has its row"
    run = run_of(cursor, project, row)
    return Adopted(
        project=project,
        lease=lease,
        run=run,
        base=Base(
            lineage=run.lineage,
            log=lease.log,
            open_calls=row.base_calls,
            tokens=row.tokens,
            items=row.items,
            conversation=run.conversation,
        ),
        input=side_items(cursor, project, row.key, INPUT),
        output=side_items(cursor, project, row.key, OUTPUT),
        events=events,
        attempts=lease.fence,
    )
