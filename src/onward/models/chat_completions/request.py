"""One model call → the body of a chat completion request.

The messages are spliced in as bytes: history was encoded when it was rendered. Must not know HTTP.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from onward.core.errors import RequestError
from onward.core.tools import FunctionTool, ToolChoice
from onward.core.turns import TextFormat
from onward.models.chat_completions import constrained
from onward.models.chat_completions.endpoint import Quirks
from onward.models.chat_completions.render import render_message
from onward.models.profiles import Profile
from onward.ports.model import ModelRequest


class Function(Struct, omit_defaults=True):
    """A function as declared to the upstream."""

    name: str
    description: str | None = None
    parameters: Raw | None = None
    strict: bool = False


class DeclaredTool(Struct):
    """A declared tool."""

    function: Function
    type: Literal["function"] = "function"


class NamedFunction(Struct):
    """The name in a forced choice."""

    name: str


class ForcedTool(Struct):
    """The choice of one tool."""

    function: NamedFunction
    type: Literal["function"] = "function"


class JsonSchema(Struct, omit_defaults=True):
    """A schema that the answer must follow."""

    name: str
    schema: Raw | None = None
    description: str | None = None
    strict: bool = False


class ResponseFormat(Struct, omit_defaults=True, rename={"kind": "type"}):
    """The form of the answer."""

    kind: str
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    """Asks for usage at the end of a stream."""

    include_usage: bool = True


class Options(Struct, omit_defaults=True):
    """All of the body but the messages; what is not set is not sent."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[DeclaredTool] | None = None
    tool_choice: str | ForcedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, int] | None = None


_encode = msgspec.json.Encoder().encode


def offered_tools(request: ModelRequest, profile: Profile) -> tuple[FunctionTool, ...]:
    """Return the tools that the model may call: none where the choice forbids it, the named ones where it narrows.

    Raises RequestError where a call is required and no tool can be called.
    """
    choice = request.tool_choice
    if choice.mode == "none" or profile.capabilities.tool_mode == "none":
        offered: tuple[FunctionTool, ...] = ()
    elif choice.names:
        offered = tuple(tool for tool in request.tools if tool.name in choice.names)
    else:
        offered = tuple(request.tools)
    if choice.mode == "required" and not offered:
        raise RequestError("A tool call is required, but this model is offered no tool.", param="tool_choice")
    return offered


def build_body(
    request: ModelRequest, tools: Sequence[FunctionTool], *, name: str, profile: Profile, quirks: Quirks
) -> bytes:
    """Return the JSON body for the model that the upstream calls `name`; `tools` as given by `offered_tools`."""
    options = _options(request, name=name, profile=profile, quirks=quirks)
    instructions = request.instructions
    if tools and profile.capabilities.tool_mode == "constrained":
        instructions = constrained.instruct(instructions, tools, request.tool_choice)
        schema = constrained.answer_schema(tools, request.tool_choice, request.format)
        options.response_format = ResponseFormat(
            kind="json_schema", json_schema=JsonSchema(name="reply", schema=schema, strict=True)
        )
    else:
        options.response_format = _response_format(request.format)
        if tools:
            options.tools = [_declare(tool) for tool in tools]
            options.tool_choice = _choice(request.tool_choice)
            options.parallel_tool_calls = None if request.parallel_tool_calls else False
    fragments = list(request.context)
    if instructions:
        fragments.insert(0, render_message("system", instructions))
    messages = b"".join(fragments)
    return b"".join((b'{"messages":[', messages[:-1], b"],", _encode(options)[1:]))


def _options(request: ModelRequest, *, name: str, profile: Profile, quirks: Quirks) -> Options:
    sampling = request.sampling
    limit = sampling.max_output_tokens or profile.max_output_tokens
    modern = (profile.token_limit == "max_completion_tokens") != quirks.swap_token_limit
    return Options(
        model=name,
        stream=request.stream,
        stream_options=StreamOptions() if request.stream and quirks.stream_usage else None,
        temperature=sampling.temperature if sampling.temperature is not None else profile.temperature,
        top_p=sampling.top_p,
        max_tokens=None if modern else limit,
        max_completion_tokens=limit if modern else None,
        reasoning_effort=sampling.reasoning_effort,
        verbosity=sampling.verbosity,
        logprobs=True if sampling.top_logprobs is not None else None,
        top_logprobs=sampling.top_logprobs,
        stop=sampling.stop,
        seed=sampling.seed,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        logit_bias=sampling.logit_bias,
    )


def _declare(tool: FunctionTool) -> DeclaredTool:
    return DeclaredTool(Function(tool.name, tool.description, tool.parameters, tool.strict))


def _choice(choice: ToolChoice) -> str | ForcedTool | None:
    if choice.mode != "required":
        return None
    if len(choice.names) == 1:
        return ForcedTool(NamedFunction(choice.names[0]))
    return "required"


def _response_format(form: TextFormat) -> ResponseFormat | None:
    match form.kind:
        case "text":
            return None
        case "json_object":
            return ResponseFormat(kind="json_object")
        case "json_schema":
            schema = JsonSchema(form.name or "answer", form.schema, form.description, form.strict)
            return ResponseFormat(kind="json_schema", json_schema=schema)
