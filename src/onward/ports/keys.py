"""The seam to API keys: who may act for which project. Secrets are seen once, at creation."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class ApiKey(Struct, frozen=True):
    """A key without its secret. `prefix` is the secret's readable beginning; times are seconds since the epoch."""

    key: int
    project: int
    name: str
    prefix: str
    created_at: float
    revoked_at: float | None


class Keys(Protocol):
    """Keys of all projects."""

    async def create(self, name: str, *, project: int) -> tuple[ApiKey, str]:
        """Create a key and return it with its secret, which cannot be read again."""
        ...

    async def list(self) -> Sequence[ApiKey]:
        """Return all keys, oldest first, revoked ones included."""
        ...

    async def revoke(self, prefix: str) -> bool:
        """Make the key with this prefix useless; False where there is none that is still valid."""
        ...

    async def verify(self, secret: str) -> int | None:
        """Return the project of a valid secret, None otherwise, in time that does not depend on the digest's bytes."""
        ...

    async def any(self) -> bool:
        """Tell whether a valid key exists."""
        ...
