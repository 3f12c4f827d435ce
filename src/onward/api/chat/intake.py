"""The body of a create call becomes turns, one for each choice: limits checked, defaults filled in."""

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from onward.api.chat.messages import read_messages
from onward.api.chat.tools import Tools, read_tools
from onward.api.chat.wire import CreateCompletion, ResponseFormatField, is_given
from onward.api.errors import invalid_value, missing_parameter, out_of_range, too_long
from onward.api.metadata import check_metadata
from onward.api.responses.intake import MAX_SAFETY_IDENTIFIER
from onward.api.responses.schemas import find_fault
from onward.core.errors import RequestError
from onward.core.items import Item, encode
from onward.core.turns import Sampling, TextFormat, TurnRequest

MAX_CHOICES: Final = 8
"""Each choice is a turn of its own at the upstream."""
MAX_STOPS: Final = 4
_INT64: Final = 2**63

_read_schema = msgspec.json.Decoder(dict[str, Any])

RETURNED: Final = frozenset({"message", "function_call"})
"""What a client sends back of an answer."""


class Intake(Struct, frozen=True, kw_only=True):
    """The turns of a request, one for each choice, and what only the rendering of their answers needs."""

    turns: tuple[TurnRequest, ...]
    legacy: bool = False
    include_usage: bool = False
    obfuscate: bool = True


def read_turns(body: CreateCompletion, *, default_model: str) -> Intake:
    """Return the turns that a body asks for. Raises RequestError."""
    _check_unsupported(body)
    _check_ranges(body)
    _check_together(body)
    items = read_messages(body.messages)
    tools = read_tools(body)
    form = _read_format(body.response_format)
    if form.kind == "json_object":
        _check_json_word(items)
    turn = TurnRequest(
        dialect="chat",
        kept_types=RETURNED,
        told_again=False,
        model=body.model or default_model,
        input=items,
        tools=tools.tools,
        tool_choice=tools.choice,
        parallel_tool_calls=body.parallel_tool_calls is not False and not tools.legacy,
        sampling=_sampling(body),
        format=form,
        store=body.store is True,
        stream=body.stream is True,
        metadata=check_metadata(body.metadata),
        config=render_config(body, tools) if body.store is True else b"{}",
        extra=_render_extra(body) if body.store is True else b"{}",
    )
    options = body.stream_options
    return Intake(
        turns=tuple(_choice(turn, index) for index in range(body.n or 1)),
        legacy=tools.legacy,
        include_usage=options is not None and options.include_usage is True,
        obfuscate=options is None or options.include_obfuscation is not False,
    )


def _choice(turn: TurnRequest, index: int) -> TurnRequest:
    """Return the turn of one choice: equal seeds would make equal answers."""
    if index == 0 or turn.sampling.seed is None:
        return turn
    sampling = msgspec.structs.replace(turn.sampling, seed=(turn.sampling.seed + index) % _INT64)
    return msgspec.structs.replace(turn, sampling=sampling)


def _sampling(body: CreateCompletion) -> Sampling:
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        max_output_tokens=body.max_completion_tokens if body.max_tokens is None else body.max_tokens,
        reasoning_effort=body.reasoning_effort,
        verbosity=body.verbosity,
        stop=tuple(stops),
        seed=body.seed,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        logit_bias=body.logit_bias or None,
    )


def _check_unsupported(body: CreateCompletion) -> None:
    audio = is_given(body.audio) or "audio" in (body.modalities or ())
    for name, given in (
        ("audio", audio),
        ("moderation", is_given(body.moderation)),
        ("logprobs", body.logprobs is True),
    ):
        if given:
            raise RequestError(
                f"'{name}' is not supported by this version of Onward.", param=name, code="unsupported_parameter"
            )


def _check_together(body: CreateCompletion) -> None:
    """Check what only goes with something else."""
    if body.stream_options is not None and body.stream is not True:
        raise RequestError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if body.top_logprobs is not None:
        raise RequestError(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs"
        )
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise RequestError(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )
    if body.store is True and (body.n or 1) > 1:
        raise RequestError(
            "A completion with several choices ('n' greater than 1) cannot be stored by this version of Onward.",
            param="n",
            code="unsupported_parameter",
        )


def _check_ranges(body: CreateCompletion) -> None:
    limits: tuple[tuple[str, float | None, float | None, float | None], ...] = (
        ("temperature", body.temperature, 0, 2),
        ("top_p", body.top_p, 0, 1),
        ("top_logprobs", body.top_logprobs, 0, 20),
        ("frequency_penalty", body.frequency_penalty, -2, 2),
        ("presence_penalty", body.presence_penalty, -2, 2),
        ("max_tokens", body.max_tokens, 1, None),
        ("max_completion_tokens", body.max_completion_tokens, 1, None),
        ("n", body.n, 1, MAX_CHOICES),
        ("seed", body.seed, -_INT64, _INT64 - 1),
    )
    for name, value, low, high in limits:
        if value is not None and not (low or 0) <= value <= (math.inf if high is None else high):
            raise out_of_range(name, value, low=low, high=high)
    if body.safety_identifier is not None and len(body.safety_identifier) > MAX_SAFETY_IDENTIFIER:
        raise too_long("safety_identifier", len(body.safety_identifier), maximum=MAX_SAFETY_IDENTIFIER)
    for token, bias in (body.logit_bias or {}).items():
        if not token.isdecimal():
            raise invalid_value("logit_bias", token)
        if not -100 <= bias <= 100:
            raise out_of_range(f"logit_bias.{token[:20]}", bias, low=-100, high=100)
    if isinstance(body.stop, list) and len(body.stop) > MAX_STOPS:
        raise RequestError(
            f"Invalid 'stop': array too long. Expected an array with maximum length {MAX_STOPS}, but got an array "
            f"with length {len(body.stop)} instead.",
            param="stop",
            code="array_above_max_length",
        )


def _read_format(field: ResponseFormatField | None) -> TextFormat:
    if field is None or field.type == "text":
        return TextFormat()
    if field.type == "json_object":
        return TextFormat("json_object")
    if field.type != "json_schema":
        raise invalid_value("response_format.type", field.type, ("text", "json_object", "json_schema"))
    form = field.json_schema
    if form is None:
        raise missing_parameter("response_format.json_schema")
    param = "response_format.json_schema.schema"
    if not is_given(form.schema):
        raise missing_parameter(param)
    strict = form.strict is True
    try:
        schema = _read_schema.decode(form.schema)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"Invalid type for '{param}': expected an object.", param=param, code="invalid_type"
        ) from error
    fault = find_fault(schema, strict=strict)
    if fault is not None:
        message = f"Invalid schema for response_format '{form.name}': {fault}"
        raise RequestError(message, param="response_format", code="invalid_json_schema")
    return TextFormat("json_schema", form.name, form.description, form.schema, strict)


def _check_json_word(items: Sequence[Item]) -> None:
    """Models write white space without end where JSON is asked for by the format alone."""
    if not any(b"json" in item.body.lower() for item in items):
        raise RequestError(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            param="messages",
        )


def render_config(body: CreateCompletion, tools: Tools) -> bytes:
    """Return the members that a stored completion shows of its request, as one application sends them each time."""
    members: dict[str, object] = {
        "tools": body.tools,
        "tool_choice": body.tool_choice,
        "response_format": body.response_format,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
    }
    if tools.legacy:
        members |= {"functions": body.functions, "function_call": body.function_call}
    return encode(members)


def _render_extra(body: CreateCompletion) -> bytes:
    given = {"seed": body.seed, "input_user": body.user}
    return encode({name: value for name, value in given.items() if value is not None})
