"""What an upstream sends, reduced to the fields that become events: what is not named here is skipped, not decoded.

Every field may be null or absent, because upstreams differ. This file must not know events.
"""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from onward.core.usage import Usage


class FunctionPart(Struct, gc=False):
    """Name and a fragment of the arguments of a tool call."""

    name: str | None = None
    arguments: str | None = None


class CallPart(Struct, gc=False):
    """A fragment of one tool call; `index` tells which, where the upstream sends it."""

    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None


class Delta(Struct, gc=False):
    """What one chunk adds; also the message of an answer that is not streamed."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallPart] | None = None


class Choice(Struct, gc=False):
    """The one choice of a chunk (`delta`) or of a whole completion (`message`)."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class PromptDetails(Struct, gc=False):
    """Details of the prompt's tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(Struct, gc=False):
    """Details of the completion's tokens."""

    reasoning_tokens: int | None = None


class WireUsage(Struct, gc=False):
    """Usage as the upstream counts it."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class Chunk(Struct, gc=False):
    """A chunk of a stream or a whole completion."""

    choices: list[Choice] | None = None
    usage: WireUsage | None = None
    error: Raw | UnsetType = UNSET


class ErrorBody(Struct):
    """An error as an object; `code` is a word or a status."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None
    status: int | str | None = None


class ErrorEnvelope(Struct):
    """The forms in which upstreams wrap an error."""

    error: ErrorBody | str | None = None
    message: str | None = None
    detail: Raw | UnsetType = UNSET
    type: str | None = None
    code: str | int | None = None


class ListedModel(Struct):
    """One entry of `/models`. The window has a name of its own at each upstream."""

    id: str
    owned_by: str | None = None
    context_length: int | None = None
    max_model_len: int | None = None
    context_window: int | None = None
    max_context_length: int | None = None
    meta: dict[str, object] | None = None


class ModelList(Struct):
    """The answer of `/models`."""

    data: list[ListedModel] | None = None


read_chunk = msgspec.json.Decoder(Chunk)
read_error = msgspec.json.Decoder(ErrorBody | str | None)
read_error_envelope = msgspec.json.Decoder(ErrorEnvelope)
read_model_list = msgspec.json.Decoder(ModelList)


def to_usage(wire: WireUsage) -> Usage:
    """Return `wire` in our terms; counts that are missing are 0."""
    prompt = wire.prompt_tokens_details or PromptDetails()
    completion = wire.completion_tokens_details or CompletionDetails()
    return Usage(
        input_tokens=wire.prompt_tokens or 0,
        output_tokens=wire.completion_tokens or 0,
        cached_tokens=prompt.cached_tokens or wire.prompt_cache_hit_tokens or 0,
        cache_write_tokens=prompt.cache_write_tokens or 0,
        reasoning_tokens=completion.reasoning_tokens or 0,
    )
