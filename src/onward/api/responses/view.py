"""A run as a response object. Rendered by joining bytes: what is stored as JSON is never decoded again."""

from collections.abc import Sequence

from msgspec import Struct

from onward.api.responses.items import Include, item_views
from onward.core.items import Item, encode
from onward.core.turns import AfterResponse, OnConversation, RunError, RunStatus, TurnRequest
from onward.core.usage import Usage
from onward.ports.runs import Run

PUBLIC_STATUS: dict[RunStatus, str] = {
    "requires_action": "in_progress",
    "cancelling": "in_progress",
    "expired": "failed",
}
"""Statuses that this dialect does not know → what it shows."""


class Head(Struct, frozen=True, kw_only=True):
    """What does not change while a response runs."""

    id: str
    created_at: float
    model: str
    config: bytes
    extra: bytes
    metadata: bytes
    background: bool
    store: bool
    previous_response_id: str | None
    conversation: str | None


class Outcome(Struct, frozen=True, kw_only=True):
    """What a response has become."""

    status: RunStatus
    output: Sequence[Item] = ()
    usage: Usage | None = None
    error: RunError | None = None
    incomplete_reason: str | None = None
    completed_at: float | None = None


def head_of_turn(turn: TurnRequest, *, response_id: str, created_at: float) -> Head:
    """Return the head of a response that begins."""
    parent = turn.parent
    return Head(
        id=response_id,
        created_at=created_at,
        model=turn.model,
        config=turn.config,
        extra=turn.extra,
        metadata=turn.metadata,
        background=turn.background,
        store=turn.store,
        previous_response_id=parent.response_id if isinstance(parent, AfterResponse) else None,
        conversation=parent.conversation_id if isinstance(parent, OnConversation) else None,
    )


def head_of_run(run: Run) -> Head:
    """Return the head of a stored response."""
    return Head(
        id=f"resp_{run.suffix}",
        created_at=run.created_at,
        model=run.model,
        config=run.config,
        extra=run.extra,
        metadata=run.metadata,
        background=run.background,
        store=True,
        previous_response_id=run.parent_response,
        conversation=run.conversation,
    )


def render_response(head: Head, outcome: Outcome, include: Include) -> bytes:
    """Return the response object as JSON."""
    status = PUBLIC_STATUS.get(outcome.status, outcome.status)
    error = outcome.error
    if outcome.status == "expired" and error is None:
        error = RunError("server_error", "The run expired.")
    reason = outcome.incomplete_reason
    conversation = {"id": head.conversation} if head.conversation else None
    extra = head.extra[1:-1]
    return b"".join(
        (
            b'{"id":',
            encode(head.id),
            b',"object":"response","created_at":',
            str(int(head.created_at)).encode(),
            b',"status":"',
            status.encode(),
            b'","background":',
            encode(head.background),
            b',"completed_at":',
            encode(int(outcome.completed_at) if outcome.completed_at is not None else None),
            b',"error":',
            encode(error),
            b',"incomplete_details":',
            encode({"reason": reason} if reason else None),
            b',"model":',
            encode(head.model),
            b',"output":[',
            b",".join(item_views(outcome.output, include)),
            b'],"previous_response_id":',
            encode(head.previous_response_id),
            b',"conversation":',
            encode(conversation),
            b',"store":',
            encode(head.store),
            b',"usage":',
            render_usage(outcome.usage) if outcome.usage is not None else b"null",
            b',"metadata":',
            head.metadata,
            b",",
            head.config[1:-1],
            b"," + extra if extra else b"",
            b"}",
        )
    )


def render_usage(usage: Usage) -> bytes:
    """Return `usage`; both details are required."""
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},'
        b'"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
        % (
            usage.input_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            usage.total_tokens,
        )
    )
