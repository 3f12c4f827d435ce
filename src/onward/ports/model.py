"""The seam to language models. An adapter knows one wire protocol; it knows no store, dialect or HTTP server of ours.

Context is handed over *rendered*: the engine keeps the bytes that an adapter once made of stored items and gives them
back, so that a turn at depth 400 renders only what is new.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from onward.core.items import ContentPart, Item, encode, read_function_call_output, read_message
from onward.core.tools import FunctionTool, ToolChoice
from onward.core.turns import Sampling, TextFormat
from onward.core.usage import Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Capabilities(Struct, frozen=True):
    """What a model can do, from its profile. `context_window` is in tokens, None where it is not known.

    `tool_mode`: `native` tool calls | `constrained` decoding of a call or an answer | `salvage` calls from text |
    `none`. `forced_retrieval`: search before the first model call (MODELS.md rule 2). `passage_limit`: passages that
    fit its prompt.
    """

    tool_mode: Literal["native", "constrained", "salvage", "none"] = "native"
    context_window: int | None = None
    forced_retrieval: bool = False
    passage_limit: int | None = None
    passage_tokens: int | None = None
    images: bool = True
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


class Attachment(Struct, frozen=True):
    """Content of a file that an item refers to: `data` in bytes, `media_type` as in RFC 2046."""

    data: bytes
    media_type: str
    filename: str


class Attachments(Protocol):
    """Resolves the file ids and URLs that items carry, before they are rendered."""

    async def load(self, file_id: str) -> Attachment:
        """Return the content. Raises NotFoundError for an unknown id."""
        ...


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
        have been resolved (`resolve_attachments`). Raises RequestError for content that this model cannot take.
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


def needed_attachments(items: Sequence[Item]) -> tuple[str, ...]:
    """Return the ids of the files that the content of `items` refers to and that a model has to see, each once."""
    ids: dict[str, None] = {}
    for item in items:
        if b'"file_id"' in item.body:
            for part in _input_parts(item):
                if part.file_id is not None and part.kind in ("input_image", "input_file"):
                    ids[part.file_id] = None
    return tuple(ids)


async def resolve_attachments(items: Sequence[Item], attachments: Attachments) -> Sequence[Item]:
    """Return `items` with files put in place of their ids, for `Model.render`; items without files are the same
    objects.

    Images become data URLs, text becomes text under its file name, other files become data. Raises NotFoundError for an
    unknown id. What is stored stays as it was: this is for one rendering.
    """
    if not needed_attachments(items):
        return items
    return [await _resolve(item, attachments) if b'"file_id"' in item.body else item for item in items]


async def _resolve(item: Item, attachments: Attachments) -> Item:
    parts = _input_parts(item)
    if not any(part.file_id is not None for part in parts):
        return item
    resolved = [await _resolve_part(part, attachments) for part in parts]
    fields = msgspec.json.decode(item.body, type=dict[str, msgspec.Raw])
    fields["content" if item.type == "message" else "output"] = msgspec.Raw(encode(resolved))
    return msgspec.structs.replace(item, body=encode(fields))


async def _resolve_part(part: ContentPart, attachments: Attachments) -> ContentPart:
    if part.file_id is None or part.kind not in ("input_image", "input_file"):
        return part
    file = await attachments.load(part.file_id)
    if part.kind == "input_file" and file.media_type.startswith("text/"):
        text = file.data.decode("utf-8", "replace")
        return ContentPart(kind="input_text", text=f"{file.filename}:\n{text}")
    url = f"data:{file.media_type};base64,{b64encode(file.data).decode('ascii')}"
    if part.kind == "input_image":
        return ContentPart(kind="input_image", image_url=url, detail=part.detail)
    return ContentPart(kind="input_file", filename=file.filename, file_data=url)


def _input_parts(item: Item) -> Sequence[ContentPart]:
    match item.type:
        case "message":
            content = read_message(item.body).content
        case "function_call_output":
            content = read_function_call_output(item.body).output
        case _:
            return ()
    return () if isinstance(content, str) else content
