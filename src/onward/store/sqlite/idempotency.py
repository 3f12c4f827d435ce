"""Rows of idempotency keys. The key of a run is written in the transaction that inserts the run."""

from typing import Final

from onward.core.turns import Claim
from onward.ports.idempotency import AlreadyClaimed, Claimed
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.encoding import pack_id, unpack_id

KEPT_SECONDS: Final = 24 * 3600

_FIND = f"""
SELECT digest, suffix, status, body FROM idempotency
WHERE project = ? AND route = ? AND key = ? AND created_at > unixepoch('subsec') - {KEPT_SECONDS}
"""
_TAKE = f"""
INSERT INTO idempotency (project, route, key, digest, created_at, suffix) VALUES (?, ?, ?, ?, unixepoch('subsec'), ?)
ON CONFLICT (project, route, key) DO UPDATE
  SET digest = excluded.digest, created_at = excluded.created_at, suffix = excluded.suffix, status = NULL, body = NULL
  WHERE created_at <= unixepoch('subsec') - {KEPT_SECONDS}
RETURNING 1
"""
_ANSWER = "UPDATE idempotency SET status = ?4, body = ?5 WHERE project = ?1 AND route = ?2 AND key = ?3"
_FREE = "DELETE FROM idempotency WHERE project = ? AND route = ? AND key = ?"
_EXPIRE = f"""
DELETE FROM idempotency WHERE (project, route, key) IN (
  SELECT project, route, key FROM idempotency WHERE created_at <= unixepoch('subsec') - {KEPT_SECONDS} LIMIT 256
) RETURNING 1
"""


class SqliteIdempotency:
    """Keys of one project."""

    def __init__(self, state: Database, project: int) -> None:
        self._state = state
        self._project = project

    async def find(self, claim: Claim) -> Claimed | None:
        """Return what the key of a claim stands for, None where it is free."""
        row = await self._state.read(lambda cursor: first(cursor, _FIND, (self._project, claim.route, claim.key)))
        if row is None:
            return None
        digest, suffix, status, body = row
        return Claimed(digest, None if suffix is None else unpack_id(suffix), status, body)

    async def take(self, claim: Claim) -> bool:
        """Take a free key for an answer to come; False where it is not free."""
        return await self._state.write(lambda cursor: _take(cursor, self._project, claim, None))

    async def answer(self, claim: Claim, *, status: int, body: bytes) -> None:
        """Keep the answer of a key that was taken."""
        values = (self._project, claim.route, claim.key, status, body)
        await self._state.write(lambda cursor: bool(cursor.execute(_ANSWER, values)))

    async def free(self, claim: Claim) -> None:
        """Free a key: nothing came of its request."""
        await self._state.write(lambda cursor: bool(cursor.execute(_FREE, (self._project, claim.route, claim.key))))


def claim_run(cursor: Cursor, project: int, claim: Claim, suffix: str) -> None:
    """Let a key stand for a run that is being inserted. Raises AlreadyClaimed."""
    if not _take(cursor, project, claim, suffix):
        raise AlreadyClaimed


def expire_claims(cursor: Cursor) -> int:
    """Drop keys of all projects that are too old, a few at a time; return how many."""
    return len(cursor.execute(_EXPIRE).fetchall())


def _take(cursor: Cursor, project: int, claim: Claim, suffix: str | None) -> bool:
    values = (project, claim.route, claim.key, claim.digest, None if suffix is None else pack_id(suffix))
    return first(cursor, _TAKE, values) is not None
