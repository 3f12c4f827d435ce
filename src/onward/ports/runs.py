"""The seam to the state of turns: runs, their items, and the contexts they continue.

Every handle is scoped to one project; an unscoped query cannot be written. Items of a run enter a log by publication
(DESIGN §2). Transactions are durable when the call returns. Lease times are the store's clock only.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from onward.core.items import Item
from onward.core.lineage import EMPTY_HASH, Lineage
from onward.core.turns import Claim, Dialect, Parent, RunError, RunStatus
from onward.core.usage import Usage


class Page(Struct, frozen=True, kw_only=True):
    """A request for one page: `after` and `before` are public ids, which may have been deleted since."""

    limit: int = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


class Base(Struct, frozen=True, kw_only=True):
    """What a new turn continues: the lineage of its context and the facts that the engine needs without reading it.

    `open_calls`: call ids of the completed tail that wait for an output. `matched`: how many leading items of the
    request's own input are already in `lineage` (a re-sent history). `log`: the log that the run would grow, None for a
    new one. `hash`: of the history, empty where it has none because a conversation is part of it. `conversation`: its
    public id. `waiting_run`: public suffix of an Assistants run in requires_action that the parent names: outputs to it
    are its continuation. `tokens`: sum of the token counts of the lineage; `items`: their number.
    """

    lineage: Lineage = ()
    log: int | None = None
    open_calls: tuple[str, ...] = ()
    matched: int = 0
    hash: bytes = EMPTY_HASH
    tokens: int = 0
    items: int = 0
    conversation: str | None = None
    waiting_run: str | None = None


class NewRun(Struct, frozen=True, kw_only=True):
    """A run to insert, already leased to `owner`; times are seconds since the epoch.

    `suffix` is its identity in every dialect. `input` has no items that `base.matched` counts. `expires_at` ends a run
    that waits in requires_action. `claim` is an idempotency key that stands for the run from now on.
    """

    suffix: str
    dialect: Dialect
    status: RunStatus
    model: str
    base: Base
    parent: Parent | None
    input: Sequence[Item]
    config: bytes
    extra: bytes
    metadata: bytes
    background: bool
    stream: bool
    created_at: float
    owner: str
    lease_seconds: float = 30.0
    expires_at: float | None = None
    claim: Claim | None = None


class Lease(Struct, frozen=True):
    """The right to write to a run. Every write carries the fence and fails with LeaseLost where it was raised since."""

    run: int
    fence: int
    log: int


class LeaseLost(Exception):
    """Another owner has taken the run."""


class ModelCall(Struct, frozen=True, kw_only=True):
    """One call of a model within a run, for steps, usage and the ledger."""

    ordinal: int
    upstream: str
    model: str
    started_at: float
    ended_at: float
    finish_reason: str | None
    usage: Usage
    first_item: int
    last_item: int


class Step(Struct, frozen=True, kw_only=True):
    """A step of a run: a message or a group of tool calls, with its range of output indexes."""

    suffix: str
    kind: Literal["message_creation", "tool_calls"]
    status: RunStatus
    started_at: float
    ended_at: float | None
    first_item: int
    last_item: int


class Ending(Struct, frozen=True, kw_only=True):
    """The end of a run: its terminal status, what it produced and what it cost.

    `output` may repeat items that were recorded before. `open_calls` are calls without an output. `recording`: the
    events of a streamed run but the last, which follows from the run itself (`core/recording`).
    Publication (positions, head) happens in the same transaction where dialect and status call for it.
    """

    status: RunStatus
    output: Sequence[Item]
    usage: Usage
    ended_at: float
    error: RunError | None = None
    incomplete_reason: str | None = None
    open_calls: tuple[str, ...] = ()
    model_calls: Sequence[ModelCall] = ()
    steps: Sequence[Step] = ()
    recording: bytes | None = None
    context_plan: bytes | None = None


class Run(Struct, frozen=True, kw_only=True):
    """A run as stored, without its items. `parent_response` and `conversation` are public ids."""

    key: int
    suffix: str
    dialect: Dialect
    status: RunStatus
    model: str
    config: bytes
    extra: bytes
    metadata: bytes
    created_at: float
    completed_at: float | None
    background: bool
    stream: bool
    parent_response: str | None
    conversation: str | None
    usage: Usage
    error: RunError | None
    incomplete_reason: str | None
    lineage: Lineage
    end: Lineage
    """The lineage of a context that continues this run; equal to `lineage` where nothing was published."""


class ItemPage(Struct, frozen=True):
    """One page of items, in the order asked for."""

    items: Sequence[Item]
    has_more: bool


class Runs(Protocol):
    """Runs of one project."""

    async def base(self, parent: Parent | None, *, input_hashes: Sequence[bytes] = ()) -> Base:
        """Return what a turn continues. Without a parent, the longest stored prefix of `input_hashes` is used.

        A run in the way whose owner died is settled. Raises PreviousResponseNotFound, NotFoundError (conversation),
        ConversationLocked, RequestError (the previous response is not finished).
        """
        ...

    async def context(self, lineage: Lineage, *, token_budget: int | None = None) -> Sequence[Item]:
        """Return the visible items of a lineage, oldest first; with a budget, the newest ones that fit it.

        Items are as they stand: halves of pairs are the engine's to leave out.
        """
        ...

    async def of_types(self, lineage: Lineage, types: Sequence[str]) -> Sequence[Item]:
        """Return the visible items of a lineage that are of one of `types`, oldest first."""
        ...

    async def contains(self, lineage: Lineage, item_ids: Sequence[str]) -> str | None:
        """Return the first of `item_ids` that is visible in the lineage."""
        ...

    async def begin(self, new: NewRun) -> Lease:
        """Insert the run with its input in one transaction, on the tip of its log or on a new log where that is taken.

        Raises ConversationLocked where another run is active on the conversation or came between `base` and this,
        PreviousResponseNotFound where the history was deleted meanwhile.
        """
        ...

    async def complete(self, new: NewRun, ending: Ending) -> Lineage:
        """Insert a run and end it in one transaction, for a run that nobody could name while it was under way.

        Returns the lineage of its continuation. Raises as `begin` does.
        """
        ...

    async def renew(self, lease: Lease, *, seconds: float) -> None:
        """Extend the lease by the store's clock. Raises LeaseLost."""
        ...

    async def record(self, lease: Lease, items: Sequence[Item], *, first_index: int) -> None:
        """Write output items of a run that goes on (background, hosted tool attempts, Assistants). Raises LeaseLost.

        `first_index` is the output index of the first. An item recorded before under its id takes its new body.
        """
        ...

    async def transition(self, lease: Lease, status: RunStatus) -> None:
        """Move a run that goes on to another state (requires_action drops the lease). Raises LeaseLost."""
        ...

    async def resume(self, suffix: str, *, outputs: Sequence[Item], owner: str, lease_seconds: float) -> Lease:
        """Append tool outputs to a run in requires_action and lease it again, in one transaction.

        Raises RequestError (another status, other call ids), NotFoundError.
        """
        ...

    async def end(self, lease: Lease, ending: Ending) -> Lineage:
        """End the run, publish what its dialect publishes, release its claim; return the lineage that continues it.

        Raises LeaseLost.
        """
        ...

    async def ask_to_cancel(self, suffix: str) -> None:
        """Ask the process that has a run under way to cancel it."""
        ...

    async def cancel(self, suffix: str) -> None:
        """End a run that another process has under way as cancelled, so that its owner can write no more."""
        ...

    async def get(self, suffix: str) -> Run | None:
        """Return the run behind a response or run id, None where it was deleted or never stored."""
        ...

    async def output(self, run: Run) -> Sequence[Item]:
        """Return the output items of a run in order of output index."""
        ...

    async def recording(self, run: Run) -> bytes | None:
        """Return the recorded events of a streamed run that has ended; None where it has none."""
        ...

    async def append_events(self, lease: Lease, ordinal: int, batch: bytes) -> None:
        """Keep the batch `ordinal` (dense from 0) of a run under way. Raises LeaseLost."""
        ...

    async def events(self, run_key: int, *, start: int = 0) -> Sequence[bytes]:
        """Return the batches of a run under way, or of one that died, from ordinal `start` on."""
        ...

    async def drop_events(self, run_key: int) -> None:
        """Forget the batches of a run that has ended and has a recording."""
        ...

    async def input_page(self, run: Run, page: Page) -> ItemPage:
        """Return a page of the items that the run was given: its context, then its own input.

        Raises NotFoundError for a cursor that never was among them.
        """
        ...

    async def delete(self, suffix: str) -> bool:
        """Remove the handle of a run; descendants keep their context. Returns False for an unknown id."""
        ...

    async def item(self, item_id: str) -> Item | None:
        """Resolve an item reference within the project, newest first; unpublished and deleted items are not found."""
        ...


class Adopted(Struct, frozen=True, kw_only=True):
    """A run taken over from an owner that died, with everything that it goes on from.

    `input` and `output` are what it was given and the items that it recorded; `events` the batches of its stream.
    `attempts` counts its owners so far, this one included.
    """

    project: int
    lease: Lease
    run: Run
    base: Base
    input: Sequence[Item]
    output: Sequence[Item]
    events: Sequence[bytes]
    attempts: int


class Recovery(Protocol):
    """Across projects: runs whose owner died."""

    async def adopt(self, owner: str, *, seconds: float) -> Sequence[Adopted]:
        """Take over the runs that can go on and whose owner died."""
        ...

    async def held(self, owner: str) -> Mapping[Lease, bool]:
        """Return the leases that `owner` holds, and whether their runs are to be cancelled."""
        ...

    async def settle_expired(self) -> int:
        """End runs whose lease has run out as failed, those that waited too long as expired; return how many."""
        ...
