"""The seam to language models. An adapter knows one wire protocol; it knows no store, dialect or HTTP server of ours.

Context is handed over *rendered*: the engine keeps the bytes that an adapter once made of stored items and gives them
back, so that a turn at depth 400 renders only what is new.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from msgspec import Struct

from onward.core.items import Item
from onward.core.tools import FunctionTool, ToolChoice
from onward.core.turns import Sampling, TextFormat
from onward.core.usage import Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Capabilities(Struct, frozen=True):
    """What a model can do, from its profile. `context_window` is in tokens, None where it is not known.

    `tool_mode`: `native` tool calls | `constrained` decoding of a call or an answer | `salvage` calls from text |
    `none`. `forced_retrieval`: search before the first model call (MODELS.md rule 2). `passage_limit`: passages that
    fit its prompt. `image_urls`: its server fetches an image by URL itself; else the image is put in.
    """

    tool_mode: Literal["native", "constrained", "salvage", "none"] = "native"
    context_window: int | None = None
    forced_retrieval: bool = False
    passage_limit: int | None = None
    passage_tokens: int | None = None
    images: bool = True
    image_urls: bool = True
    json_schema: bool = True
    extractive: bool = False


class TextDelta(Struct, frozen=True):
    """A chunk of the answer's text."""

    text: str


class RefusalDelta(Struct, frozen=True):
    """A chunk of a refusal."""

    text: str


class ReasoningDelta(Struct, frozen=True):
    """A chunk of reasoning content."""

    text: str


class CallDelta(Struct, frozen=True):
    """A chunk of the tool call `index` (dense from 0). `call_id` and `name` come with its first chunk."""

    index: int
    arguments: str
    call_id: str | None = None
    name: str | None = None


class Finished(Struct, frozen=True):
    """The model stopped. A stream that ends without this was cut."""

    reason: FinishReason


class Used(Struct, frozen=True):
    """Usage of this model call as the upstream counted it."""

    usage: Usage


ModelEvent = TextDelta | RefusalDelta | ReasoningDelta | CallDelta | Finished | Used


class ModelRequest(Struct, frozen=True, kw_only=True):
    """One model call. `context` holds fragments made by `Model.render`, oldest first; `instructions` goes before
    them."""

    context: Sequence[bytes]
    instructions: str | None = None
    tools: Sequence[FunctionTool] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    format: TextFormat = TextFormat()
    sampling: Sampling = Sampling()
    stream: bool = True


class Model(Protocol):
    """A model of one upstream."""

    @property
    def name(self) -> str:
        """The upstream's own name of the model."""
        ...

    @property
    def upstream(self) -> str:
        """A short name of the upstream, for logs and the ledger of model calls."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def render(self, items: Sequence[Item]) -> bytes:
        """Return the fragment of `items` in the upstream's encoding; fragments may be concatenated in order.

        Items of one turn's output are rendered together. An unknown item type renders as nothing. Attachments must
        have been put in (`onward.ports.attachments`). Raises RequestError for content that this model cannot take.
        """
        ...

    def call(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """Call the model and iterate over batches: one batch for each read from the upstream, one delta for each chunk.

        Leaving the context ends the upstream request. Raises UpstreamError and its kin, RateLimitError, RequestError
        (`context_length_exceeded` and other faults of the request); a cut stream raises UpstreamError.
        """
        ...


class Models(Protocol):
    """Which model serves a name."""

    async def resolve(self, name: str | None) -> Model:
        """Return the model that serves `name`; aliases and the configured default apply. Raises RequestError
        `model_not_found`."""
        ...

    async def names(self) -> Sequence[str]:
        """Return the names that `/v1/models` lists."""
        ...
