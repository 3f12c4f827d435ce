"""Calls that arrive as text: constrained replies and salvage."""

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.tools import FunctionTool, ToolChoice
from onward.core.turns import TextFormat
from onward.models.chat_completions.constrained import ConstrainedReader, answer_schema
from onward.models.chat_completions.salvage import SalvageReader
from onward.ports.model import CallDelta, Finished, FinishReason, ModelEvent, TextDelta

TOOL = FunctionTool(
    name="get_weather",
    parameters=msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'),
)


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def read(
    reader: ConstrainedReader | SalvageReader, parts: Sequence[str], reason: FinishReason = "stop"
) -> list[ModelEvent]:
    events: list[ModelEvent] = []
    for text in parts:
        events += reader.feed([TextDelta(text)])
    return events + reader.feed([Finished(reason)])


def said(events: Sequence[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@given(st.text(), st.lists(st.integers(0, 80), max_size=10), st.sampled_from(["", " ", "\n  "]))
def test_an_answer_survives_any_cut(answer: str, cuts: list[int], space: str) -> None:
    encoded = "".join(f"\\u{ord(c):04x}" if ord(c) < 128 else c for c in answer)
    for body in (msgspec.json.encode(answer).decode(), f'"{encoded}"'):
        reply = f'{space}{{{space}"answer"{space}:{space}{body}{space}}}'
        events = read(ConstrainedReader(), pieces(reply, cuts))
        assert said(events) == answer
        assert events[-1] == Finished("stop")


def test_an_answer_streams() -> None:
    reader = ConstrainedReader()
    assert reader.feed([TextDelta('{"answer": "It')]) == [TextDelta("It")]
    assert reader.feed([TextDelta(" is")]) == [TextDelta(" is")]


def test_a_reply_in_no_known_form_is_text() -> None:
    assert said(read(ConstrainedReader(), ["It is ", "sunny"])) == "It is sunny"
    assert said(read(ConstrainedReader(), ['{"other": 1}'])) == '{"other": 1}'
    assert said(read(ConstrainedReader(), ['{"answer": {"a": 1}}'])) == '{"a": 1}'


def test_half_a_call_is_no_call() -> None:
    events = read(ConstrainedReader(), ['{"call": {"name": "get_wea'], "length")
    assert events == [Finished("length")]


def test_schema_of_a_reply() -> None:
    nested = FunctionTool(
        name="nested",
        parameters=msgspec.Raw(
            b'{"type":"object","properties":{"p":{"$ref":"#/$defs/P"}},"$defs":{"P":{"type":"integer"}}}'
        ),
    )
    schema = msgspec.json.decode(answer_schema([TOOL, nested], ToolChoice(), TextFormat()))
    assert [next(iter(branch["properties"])) for branch in schema["anyOf"]] == ["call", "call", "answer"]
    arguments = schema["anyOf"][1]["properties"]["call"]["properties"]["arguments"]
    assert arguments == {"type": "object", "properties": {"p": {"$ref": "#/$defs/tool1_P"}}}
    assert schema["$defs"] == {"tool1_P": {"type": "integer"}}
    required = msgspec.json.decode(answer_schema([TOOL], ToolChoice("required"), TextFormat()))
    assert len(required["anyOf"]) == 1


CALL = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"```json\n{CALL}\n```",
        f"```\n{CALL}```",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"  <tool_call>{CALL}",
        '{"function": "get_weather", "parameters": {"city": "Oslo"}}',
        '{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}',
        '{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}',
    ],
)
def test_salvaged(text: str) -> None:
    events = read(SalvageReader([TOOL]), pieces(text, range(0, len(text), 5)))
    call, finished = events
    assert isinstance(call, CallDelta)
    assert call.name == "get_weather"
    assert msgspec.json.decode(call.arguments) == {"city": "Oslo"}
    assert finished == Finished("tool_calls")


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny.",
        '{"name": "other", "arguments": {}}',
        '{"name": "get_weather", "arguments": {"town": "Oslo"}}',
        '{"name": "get_weather", "arguments": {}}',
        f"{CALL} and more",
        '{"name": "get_wea',
        "```python\nprint(1)\n```",
        "<b>bold</b>",
        "",
    ],
)
def test_not_salvaged(text: str) -> None:
    parts = pieces(text, range(0, len(text), 3))
    events = read(SalvageReader([TOOL]), parts)
    assert events == [*(TextDelta(part) for part in parts), Finished("stop")]


def test_plain_text_is_not_held_back() -> None:
    assert SalvageReader([TOOL]).feed([TextDelta("Hel")]) == [TextDelta("Hel")]
