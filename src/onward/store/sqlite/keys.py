"""API keys in state.db: a readable prefix finds the row, a digest proves the secret."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from onward.core import clock
from onward.ports.keys import ApiKey
from onward.store.sqlite.cursor import Cursor, scalar
from onward.store.sqlite.database import Database

SECRET_PREFIX: Final = "sk-onward-"
PREFIX_LENGTH: Final = len(SECRET_PREFIX) + 8

_COLUMNS = "key, project, name, prefix, created_at, revoked_at"
_INSERT = "INSERT INTO api_keys (project, key, name, prefix, digest, created_at) VALUES (?, ?, ?, ?, ?, ?)"
_LIST = f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, key"
_REVOKE = "UPDATE api_keys SET revoked_at = ? WHERE prefix = ? AND revoked_at IS NULL RETURNING key"
_FIND = "SELECT project, digest FROM api_keys WHERE prefix = ? AND revoked_at IS NULL"
_ANY = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE revoked_at IS NULL)"


class SqliteKeys:
    """Keys of all projects of one store."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def create(self, name: str, *, project: int) -> tuple[ApiKey, str]:
        """Create a key and return it with its secret, which cannot be read again."""
        secret = SECRET_PREFIX + secrets.token_hex(24)
        created_at = clock.now()

        def insert(cursor: Cursor) -> ApiKey:
            key = self._state.keys.take(cursor, "api_keys")
            prefix = secret[:PREFIX_LENGTH]
            cursor.execute(_INSERT, (project, key, name, prefix, _digest(secret), created_at))
            return ApiKey(key, project, name, prefix, created_at, None)

        return await self._state.write(insert), secret

    async def list(self) -> Sequence[ApiKey]:
        """Return all keys, oldest first, revoked ones included."""
        return await self._state.read(lambda cursor: [ApiKey(*row) for row in cursor.execute(_LIST)])

    async def revoke(self, prefix: str) -> bool:
        """Make the key with this prefix useless; False where there is none that is still valid."""
        revoked_at = clock.now()
        return await self._state.write(lambda cursor: bool(list(cursor.execute(_REVOKE, (revoked_at, prefix)))))

    async def verify(self, secret: str) -> int | None:
        """Return the project of a valid secret, None otherwise, in time that does not depend on the digest's bytes."""
        digest = _digest(secret)

        def find(cursor: Cursor) -> int | None:
            rows: list[tuple[int, bytes]] = list(cursor.execute(_FIND, (secret[:PREFIX_LENGTH],)))
            matches = [project for project, stored in rows if hmac.compare_digest(stored, digest)]
            return matches[0] if matches else None

        return await self._state.read(find)

    async def any(self) -> bool:
        """Tell whether a valid key exists."""
        return await self._state.read(lambda cursor: bool(scalar(cursor, _ANY)))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
