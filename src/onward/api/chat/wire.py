"""The requests of `/v1/chat/completions` as they come: types only, no meaning. Unknown fields are ignored."""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

NULL: Final = Raw(b"null")
"""Stands for a raw field that is absent or null."""

Level = Literal["low", "medium", "high"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast"]


def _null() -> Raw:
    return NULL


def is_given(raw: Raw) -> bool:
    """Tell whether a raw field is there and not null."""
    return bytes(raw) != b"null"


class ImageField(Struct, frozen=True):
    """`image_url` of a part."""

    url: str
    detail: str | None = None


class FileField(Struct, frozen=True):
    """`file` of a part."""

    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class PartField(Struct, frozen=True):
    """A part of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageField | None = None
    file: FileField | None = None


class FunctionField(Struct, frozen=True):
    """The function of a call."""

    name: str
    arguments: str


class ToolCallField(Struct, frozen=True):
    """A call in an assistant message."""

    id: str
    type: str = "function"
    function: FunctionField | None = None


class MessageField(Struct, frozen=True):
    """A message of any role."""

    role: str
    content: str | list[PartField] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallField] | None = None
    function_call: FunctionField | None = None
    tool_call_id: str | None = None
    audio: Raw = msgspec.field(default_factory=_null)


class CompletionStreamOptions(Struct, frozen=True):
    """`stream_options`."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JsonSchemaField(Struct, frozen=True):
    """`response_format.json_schema`."""

    name: str
    schema: Raw = msgspec.field(default_factory=_null)
    description: str | None = None
    strict: bool | None = None


class ResponseFormatField(Struct, frozen=True):
    """`response_format`, nested in this dialect."""

    type: str
    json_schema: JsonSchemaField | None = None


class Approximate(Struct, frozen=True):
    """Where a user is."""

    country: str | None = None


class Location(Struct, frozen=True):
    """`web_search_options.user_location`."""

    approximate: Approximate | None = None


class WebSearchOptions(Struct, frozen=True):
    """`web_search_options`."""

    search_context_size: Level | None = None
    user_location: Location | None = None


class CreateCompletion(Struct, frozen=True):
    """The body of a create call."""

    messages: list[MessageField]
    model: str | None = None
    audio: Raw = msgspec.field(default_factory=_null)
    frequency_penalty: float | None = None
    function_call: Raw = msgspec.field(default_factory=_null)
    functions: Raw = msgspec.field(default_factory=_null)
    logit_bias: dict[str, int] | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: dict[str, object] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    moderation: Raw = msgspec.field(default_factory=_null)
    n: int | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    reasoning_effort: Effort | None = None
    response_format: ResponseFormatField | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    service_tier: Tier | None = None
    stop: str | list[str] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: CompletionStreamOptions | None = None
    temperature: float | None = None
    tool_choice: Raw = msgspec.field(default_factory=_null)
    tools: Raw = msgspec.field(default_factory=_null)
    top_logprobs: int | None = None
    top_p: float | None = None
    user: str | None = None
    verbosity: Level | None = None
    web_search_options: WebSearchOptions | None = None


class UpdateCompletion(Struct, frozen=True):
    """The body of an update: the metadata, which is replaced."""

    metadata: dict[str, object] | None


decode_create = msgspec.json.Decoder(CreateCompletion)
decode_update = msgspec.json.Decoder(UpdateCompletion)
