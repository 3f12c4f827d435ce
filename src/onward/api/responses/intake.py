"""The body of a create call becomes a turn: limits checked, defaults filled in, references resolved."""

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from onward.api.errors import invalid_value, out_of_range, too_long
from onward.api.metadata import check_metadata
from onward.api.responses.echo import render_config, render_extra
from onward.api.responses.formats import check_json_mode, read_format
from onward.api.responses.input_items import Supplied, read_input
from onward.api.responses.prompt import apply_prompt
from onward.api.responses.tools import Tools, read_tool_choice, read_tools
from onward.api.responses.unsupported import check_unsupported
from onward.api.responses.wire import ConversationRef, CreateResponse
from onward.core.errors import RequestError
from onward.core.items import Item
from onward.core.tools import ToolChoice
from onward.core.turns import AfterResponse, OnConversation, Parent, Sampling, TurnRequest
from onward.ports.prompts import Prompts
from onward.ports.runs import Runs

INCLUDABLE: Final = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
TIERS: Final = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SUMMARIES: Final = ("auto", "concise", "detailed")
MAX_SAFETY_IDENTIFIER: Final = 128
NO_TOOLS: Final = Tools((), b"[]")


class Intake(Struct, frozen=True):
    """A turn, and what only the rendering of its answer needs."""

    turn: TurnRequest
    include: frozenset[str]
    obfuscate: bool
    concurrency: Literal["reject", "queue", "fork"] = "reject"
    """What becomes of a turn on a conversation that is busy."""


async def read_turn(body: CreateResponse, runs: Runs, prompts: Prompts, *, default_model: str) -> Intake:
    """Return the turn that a body asks for. Raises RequestError."""
    _check_background(body)
    applied = await apply_prompt(body, prompts)
    body = applied.body
    include = check_include(body.include or ())
    parent = _parent(body)
    check_unsupported(body)
    check_ranges(body)
    supplied = read_input(body.input) if body.input is not None else Supplied((), frozenset())
    tools = read_tools(bytes(body.tools)) if _given(body.tools) else NO_TOOLS
    choice = read_tool_choice(bytes(body.tool_choice)) if _given(body.tool_choice) else ToolChoice()
    model = body.model or default_model
    text_format = read_format(body.text.format if body.text else None)
    resolved = await _resolve(supplied.items, runs)
    check_json_mode(body, (*applied.preamble, *resolved))
    turn = TurnRequest(
        dialect="responses",
        model=model,
        parent=parent,
        input=resolved,
        named_ids=supplied.named | {item for item in supplied.items if isinstance(item, str)},
        instructions=body.instructions,
        preamble=applied.preamble,
        tools=tools.tools,
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        max_tool_calls=body.max_tool_calls,
        sampling=Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            max_output_tokens=body.max_output_tokens,
            top_logprobs=body.top_logprobs,
            frequency_penalty=body.frequency_penalty,
            presence_penalty=body.presence_penalty,
            reasoning_effort=body.reasoning.effort if body.reasoning else None,
            verbosity=body.text.verbosity if body.text else None,
        ),
        format=text_format,
        truncation=body.truncation or "disabled",
        token_budget=body.token_budget,
        store=body.store is not False,
        stream=body.stream is True,
        background=body.background is True,
        metadata=check_metadata(body.metadata),
        config=render_config(applied, tools.echo),
        extra=render_extra(applied),
    )
    obfuscate = body.stream_options is None or body.stream_options.include_obfuscation is not False
    return Intake(turn, include, obfuscate, body.concurrency or "reject")


def check_include(values: Sequence[str]) -> frozenset[str]:
    """Return the values of `include`. Raises RequestError for one outside the contract."""
    for index, value in enumerate(values):
        if value not in INCLUDABLE:
            raise invalid_value(f"include[{index}]", value, INCLUDABLE)
    return frozenset(values)


def _given(raw: msgspec.Raw) -> bool:
    return bytes(raw) != b"null"


def _check_background(body: CreateResponse) -> None:
    if body.background is True and body.store is False:
        raise RequestError(
            "'background' needs 'store' to be true: the response is asked for later.",
            param="background",
            code="invalid_value",
        )


def _parent(body: CreateResponse) -> Parent | None:
    conversation = body.conversation.id if isinstance(body.conversation, ConversationRef) else body.conversation
    if conversation and body.previous_response_id:
        raise RequestError(
            "Mutually exclusive parameters: 'conversation' and 'previous_response_id'. Ensure you are only providing "
            "one of: 'previous_response_id' or 'conversation'.",
            code="mutually_exclusive_parameters",
        )
    if body.concurrency in ("queue", "fork") and not conversation:
        raise RequestError("'concurrency' needs a 'conversation'.", param="concurrency", code="invalid_value")
    if conversation:
        if body.store is False:
            raise RequestError(
                "'conversation' needs 'store' to be true: its items are kept.", param="store", code="invalid_value"
            )
        return OnConversation(conversation)
    return AfterResponse(body.previous_response_id) if body.previous_response_id else None


def check_ranges(body: CreateResponse) -> None:
    """Raise RequestError for a number or a name of a create call that is outside its range or enumeration."""
    limits: tuple[tuple[str, float | None, float | None, float | None], ...] = (
        ("temperature", body.temperature, 0, 2),
        ("top_p", body.top_p, 0, 1),
        ("top_logprobs", body.top_logprobs, 0, 20),
        ("frequency_penalty", body.frequency_penalty, -2, 2),
        ("presence_penalty", body.presence_penalty, -2, 2),
        ("max_output_tokens", body.max_output_tokens, 16, None),
        ("max_tool_calls", body.max_tool_calls, 0, None),
        ("token_budget", body.token_budget, 1, None),
    )
    for name, value, low, high in limits:
        if value is not None and not (low or 0) <= value <= (math.inf if high is None else high):
            raise out_of_range(name, value, low=low, high=high)
    if body.safety_identifier is not None and len(body.safety_identifier) > MAX_SAFETY_IDENTIFIER:
        raise too_long("safety_identifier", len(body.safety_identifier), maximum=MAX_SAFETY_IDENTIFIER)
    effort = body.reasoning.effort if body.reasoning else None
    if effort is not None and effort not in EFFORTS:
        raise invalid_value("reasoning.effort", effort, EFFORTS)
    for name in ("summary", "generate_summary"):
        summary = getattr(body.reasoning, name, None)
        if summary is not None and summary not in SUMMARIES:
            raise invalid_value(f"reasoning.{name}", summary, SUMMARIES)
    if body.service_tier is not None and body.service_tier not in TIERS:
        raise invalid_value("service_tier", body.service_tier, TIERS)
    verbosity = body.text.verbosity if body.text else None
    if verbosity is not None and verbosity not in ("low", "medium", "high"):
        raise invalid_value("text.verbosity", verbosity, ("low", "medium", "high"))


async def _resolve(items: Sequence[Item | str], runs: Runs) -> tuple[Item, ...]:
    resolved: list[Item] = []
    for item in items:
        if isinstance(item, Item):
            resolved.append(item)
            continue
        found = await runs.item(item)
        if found is None:
            raise RequestError(f"Item with id '{item}' not found.", param="input", http_status=404)
        resolved.append(found)
    return tuple(resolved)
