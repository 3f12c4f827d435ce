"""The seam to durable work: items written in the transaction that causes them, claimed with a lease and a fence.

An item is done when it is finished, and not before: whoever dies holding it loses it to the next claimant. Lease times
are the store's clock only.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

WorkKind = Literal["ingest", "sync_link", "release_file", "drop_store"]
"""`ingest` a file of a store; make the index follow the state of one link (`sync_link`); remove the bytes of a deleted
file (`release_file`); remove what is left of a deleted or expired store (`drop_store`)."""


class WorkItem(Struct, frozen=True, kw_only=True):
    """A claimed item. `store` and `file` are internal keys, `link` that of the vector store file (0: does not apply).

    `attempt` counts claims from 1; `fence` rises with each.
    """

    key: int
    project: int
    kind: WorkKind
    store: int
    file: int
    link: int
    attempt: int
    fence: int


class Work(Protocol):
    """Work of all projects."""

    async def claim(self, *, owner: str, seconds: float, limit: int) -> Sequence[WorkItem]:
        """Lease up to `limit` items that are due and free, oldest first."""
        ...

    async def release_dead(self) -> int:
        """Give back what owners that are known to be dead hold, before their leases end; return how many items."""
        ...

    def leave(self) -> None:
        """Say that this process claims no more; what it still holds is free for others."""
        ...

    async def renew(self, items: Sequence[WorkItem], *, seconds: float) -> Sequence[int]:
        """Extend leases; return the keys of the items that are still ours."""
        ...

    async def finish(self, item: WorkItem) -> bool:
        """Remove an item; False where another owner has it, or it is gone."""
        ...

    async def postpone(self, item: WorkItem, *, seconds: float) -> bool:
        """Give an item back, due in `seconds`; False where another owner has it."""
        ...

    async def due_in(self) -> float | None:
        """Return seconds until the next item is due or its lease ends (0: now); None where there is no work."""
        ...

    def notify(self) -> None:
        """Wake whoever waits in this process."""
        ...

    async def wait(self, *, timeout: float) -> None:
        """Return when work may have come, in this process at once, or after `timeout` seconds."""
        ...
