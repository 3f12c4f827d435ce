"""The request of `POST /v1/responses` as it comes: types only, no meaning. Unknown fields are ignored."""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

NULL: Final = Raw(b"null")
"""Stands for a raw field that is absent or null."""


def _null() -> Raw:
    return NULL


class Reasoning(Struct, frozen=True):
    """`reasoning`."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class StreamOptions(Struct, frozen=True):
    """`stream_options`."""

    include_obfuscation: bool | None = None


class ConversationRef(Struct, frozen=True):
    """`conversation` in its object form."""

    id: str


class FormatField(Struct, frozen=True):
    """`text.format`, flat in this dialect."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: Raw = msgspec.field(default_factory=_null)
    strict: bool | None = None


class TextField(Struct, frozen=True):
    """`text`."""

    format: FormatField | None = None
    verbosity: str | None = None


class CreateResponse(Struct, frozen=True):
    """The body of a create call."""

    model: str | None = None
    input: str | list[Raw] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationRef | None = None
    concurrency: Literal["reject", "queue", "fork"] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    include: list[str] | None = None
    tools: Raw = msgspec.field(default_factory=_null)
    tool_choice: Raw = msgspec.field(default_factory=_null)
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    text: TextField | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    token_budget: int | None = None
    metadata: dict[str, object] | None = None
    prompt: Raw = msgspec.field(default_factory=_null)
    context_management: Raw = msgspec.field(default_factory=_null)
    moderation: Raw = msgspec.field(default_factory=_null)
    background_options: Raw = msgspec.field(default_factory=_null)
    prompt_cache_key: str | None = None
    prompt_cache_options: Raw = msgspec.field(default_factory=_null)
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    user: str | None = None


decode_create = msgspec.json.Decoder(CreateResponse)


class CreateConversation(Struct, frozen=True):
    """The body of `POST /v1/conversations`."""

    items: list[Raw] | None = None
    metadata: dict[str, object] | None = None


class UpdateConversation(Struct, frozen=True):
    """The body of `POST /v1/conversations/{id}`."""

    metadata: dict[str, object] | None


class CreateItems(Struct, frozen=True):
    """The body of `POST /v1/conversations/{id}/items`."""

    items: list[Raw]


class ForkConversation(Struct, frozen=True):
    """The body of `POST /v1/conversations/{id}/fork`: `up_to` is the id of the last item that the fork takes over."""

    up_to: str | None = None
    metadata: dict[str, object] | None = None


decode_fork_conversation = msgspec.json.Decoder(ForkConversation)
decode_create_conversation = msgspec.json.Decoder(CreateConversation)
decode_update_conversation = msgspec.json.Decoder(UpdateConversation)
decode_create_items = msgspec.json.Decoder(CreateItems)
