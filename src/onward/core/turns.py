"""A turn: what any dialect asks of the engine, and what becomes of it."""

from typing import Literal

from msgspec import Raw, Struct

from onward.core.items import Item
from onward.core.tools import Tool, ToolChoice
from onward.core.usage import Usage

Dialect = Literal["responses", "assistants", "chat"]

RunStatus = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "completed",
    "incomplete",
    "failed",
    "cancelled",
    "expired",
]

TERMINAL: frozenset[RunStatus] = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})


class RunError(Struct, frozen=True):
    """Why a run failed: a code of the dialects' enumerations and a sentence for people."""

    code: str
    message: str


class AfterResponse(Struct, frozen=True, tag="response"):
    """The turn continues the chain that ends with this response id."""

    response_id: str


class OnConversation(Struct, frozen=True, tag="conversation"):
    """The turn runs on this conversation id (or thread id) and locks it."""

    conversation_id: str


Parent = AfterResponse | OnConversation


class TextFormat(Struct, frozen=True):
    """Form of the answer. `schema` is set for `json_schema`."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool = False


class Sampling(Struct, frozen=True):
    """How the model samples; None leaves the upstream's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, int] | None = None


class Claim(Struct, frozen=True):
    """A request under an idempotency key: its route, and a digest of its body."""

    route: str
    key: str
    digest: bytes


class TurnRequest(Struct, frozen=True, kw_only=True):
    """One turn. `config` is the canonical JSON of what the dialect echoes and what is stored once per project
    (instructions, tools, …); `extra` the JSON of what it echoes and what changes from call to call."""

    dialect: Dialect
    model: str
    parent: Parent | None = None
    input: tuple[Item, ...] = ()
    named_ids: frozenset[str] = frozenset()
    """Ids in `input` that the client gave or referred to; the others are fresh."""
    instructions: str | None = None
    preamble: tuple[Item, ...] = ()
    """Items that the model reads before the history and that no log takes up: the messages of a prompt."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    max_tool_calls: int | None = None
    sampling: Sampling = Sampling()
    format: TextFormat = TextFormat()
    truncation: Literal["auto", "disabled"] = "disabled"
    token_budget: int | None = None
    """What input and output of all model calls of the turn may add up to."""
    store: bool = True
    kept_types: frozenset[str] | None = None
    """Item types of the output that are stored, all where it is None: what a client of the dialect never sends back
    must not stand in a history that it re-sends."""
    stream: bool = False
    told_again: bool = True
    """Whether its stream, if it is stored, can be asked for again."""
    background: bool = False
    claim: Claim | None = None
    metadata: bytes = b"{}"
    config: bytes = b"{}"
    extra: bytes = b"{}"


class TurnResult(Struct, frozen=True):
    """How a turn ended; `ended_at` in seconds since the epoch, as it is stored."""

    status: RunStatus
    output: tuple[Item, ...]
    usage: Usage
    ended_at: float
    error: RunError | None = None
    incomplete_reason: str | None = None
