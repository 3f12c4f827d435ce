"""What a turn tells while it runs, in terms no dialect owns. Each dialect folds these into frames of its own.

`index` is the position of an item in the turn's output, dense from 0.
"""

from typing import Literal

from msgspec import Struct

from onward.core.items import Cited, Item
from onward.core.turns import RunError
from onward.core.usage import Usage

Channel = Literal["text", "refusal", "arguments", "reasoning", "summary", "code", "input"]


class TurnQueued(Struct, frozen=True):
    """The run exists and waits for its turn; TurnStarted follows."""


class TurnStarted(Struct, frozen=True):
    """The run exists; nothing was generated yet."""


class ItemOpened(Struct, frozen=True):
    """An output item begins. `name` and `call_id` are set for calls; `label` names the tool server, or the
    namespace of a function."""

    index: int
    id: str
    type: str
    name: str | None = None
    call_id: str | None = None
    label: str | None = None


class Delta(Struct, frozen=True):
    """More of an open item's `channel`; one Delta for each chunk of the upstream, never merged."""

    index: int
    channel: Channel
    text: str
    part: int = 0


class Annotation(Struct, frozen=True):
    """A citation was decided for the open message `index`."""

    index: int
    citation: Cited
    part: int = 0


class ItemClosed(Struct, frozen=True):
    """The item is complete and will not change."""

    index: int
    item: Item


class ItemCut(Struct, frozen=True):
    """The open item `index` ended with the process that wrote it: it is closed, but no part of the output."""

    index: int
    item: Item


class NumbersSkipped(Struct, frozen=True):
    """Frames that may have been sent before a process died were not kept: their numbers are never given again."""

    count: int


class ToolStarted(Struct, frozen=True):
    """A hosted tool's item `index` is about to run (`in_progress`, then its own verb). `arguments` are whole."""

    index: int
    queries: tuple[str, ...] = ()
    arguments: str = ""


class ToolFinished(Struct, frozen=True):
    """A hosted tool's item `index` has its result; ItemClosed follows."""

    index: int
    status: str = "completed"


class ActionRequired(Struct, frozen=True):
    """The client has to answer these calls before the run goes on."""

    call_ids: tuple[str, ...]


class UsageReported(Struct, frozen=True):
    """Usage so far, summed over the model calls of the turn."""

    usage: Usage


class TurnCompleted(Struct, frozen=True):
    """The run ended well and its items are published."""

    usage: Usage
    completed_at: float


class TurnIncomplete(Struct, frozen=True):
    """The run stopped early: `max_output_tokens` or `content_filter`."""

    reason: str
    usage: Usage


class TurnFailed(Struct, frozen=True):
    """The run failed; nothing of it is published."""

    error: RunError
    usage: Usage


class TurnCancelled(Struct, frozen=True):
    """The run was cancelled; nothing of it is published."""

    usage: Usage


Event = (
    TurnQueued
    | TurnStarted
    | ItemOpened
    | Delta
    | Annotation
    | ItemClosed
    | ItemCut
    | NumbersSkipped
    | ToolStarted
    | ToolFinished
    | ActionRequired
    | UsageReported
    | TurnCompleted
    | TurnIncomplete
    | TurnFailed
    | TurnCancelled
)
