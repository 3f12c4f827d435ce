"""The seam to what `Idempotency-Key` remembers for 24 hours: who asked what under a key, and what came of it."""

from typing import Protocol

from msgspec import Struct

from onward.core.turns import Claim


class Claimed(Struct, frozen=True):
    """What a key stands for: the run `suffix` that it began, or an `answer` (status, body), or neither yet."""

    digest: bytes
    suffix: str | None = None
    status: int | None = None
    body: bytes | None = None


class AlreadyClaimed(Exception):
    """Another request holds the key."""


class Idempotency(Protocol):
    """Keys of one project."""

    async def find(self, claim: Claim) -> Claimed | None:
        """Return what the key of a claim stands for, None where it is free."""
        ...

    async def take(self, claim: Claim) -> bool:
        """Take a free key for an answer to come; False where it is not free."""
        ...

    async def answer(self, claim: Claim, *, status: int, body: bytes) -> None:
        """Keep the answer of a key that was taken."""
        ...

    async def free(self, claim: Claim) -> None:
        """Free a key: nothing came of its request."""
        ...
