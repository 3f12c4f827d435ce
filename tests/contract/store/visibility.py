"""The visibility table as data: which reader sees the items of a run, for each dialect and status.

ARCHITECTURE.md shows the same table. `input` are the items a run was given, `output` those it made.
"""

from typing import Final, Literal, get_args

from msgspec import Struct

from onward.core.turns import Dialect, RunStatus

Reader = Literal[
    "run output",
    "run input page",
    "conversation items",
    "thread messages",
    "item reference",
    "next turn on the conversation",
    "next turn after the response",
]
"""Who looks. `next turn …` means the context of a turn that continues."""

READERS: Final[tuple[Reader, ...]] = get_args(Reader)
STATUSES: Final[tuple[RunStatus, ...]] = get_args(RunStatus)

Cell = Literal["both", "input", "output", "neither", "refused"]
"""What is visible; `refused`: the reader gets an error, because the run is still active."""


class Row(Struct, frozen=True):
    """One row of the table: a dialect, a status, and a cell for each reader."""

    dialect: Dialect
    status: RunStatus
    cells: dict[Reader, Cell]


ACTIVE: Final[frozenset[RunStatus]] = frozenset({"queued", "in_progress", "requires_action", "cancelling"})
GOOD: Final[frozenset[RunStatus]] = frozenset({"completed", "incomplete"})


def _row(dialect: Dialect, status: RunStatus, log: Cell, turn_on: Cell, turn_after: Cell) -> Row:
    return Row(
        dialect,
        status,
        {
            "run output": "output",
            "run input page": "input",
            "conversation items": log,
            "thread messages": log,
            "item reference": log,
            "next turn on the conversation": turn_on,
            "next turn after the response": turn_after,
        },
    )


TABLE: Final[tuple[Row, ...]] = (
    _row("responses", "queued", "neither", "refused", "refused"),
    _row("responses", "in_progress", "neither", "refused", "refused"),
    _row("responses", "requires_action", "neither", "refused", "neither"),
    _row("responses", "cancelling", "neither", "refused", "refused"),
    _row("responses", "completed", "both", "both", "both"),
    _row("responses", "incomplete", "both", "both", "both"),
    _row("responses", "failed", "neither", "neither", "neither"),
    _row("responses", "cancelled", "neither", "neither", "neither"),
    _row("responses", "expired", "neither", "neither", "neither"),
    _row("assistants", "queued", "both", "refused", "refused"),
    _row("assistants", "in_progress", "both", "refused", "refused"),
    _row("assistants", "requires_action", "both", "refused", "both"),
    _row("assistants", "cancelling", "both", "refused", "refused"),
    _row("assistants", "completed", "both", "both", "both"),
    _row("assistants", "incomplete", "both", "both", "both"),
    _row("assistants", "failed", "both", "both", "both"),
    _row("assistants", "cancelled", "both", "both", "both"),
    _row("assistants", "expired", "both", "both", "both"),
)
