"""Tool calls through constrained decoding: the upstream may only write `{"call": …}` or `{"answer": …}`.

Small models that fail with native tool templates call functions reliably this way (MODELS.md). The text of an answer
still streams: it is decoded while the JSON string is open. Must not know HTTP.
"""

import re
from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from onward.core.tools import FunctionTool, ToolChoice
from onward.core.turns import TextFormat
from onward.models.chat_completions.calls import new_call_id
from onward.ports.model import CallDelta, Finished, ModelEvent, TextDelta

_CALL_FORM: Final = '{"call": {"name": "...", "arguments": {...}}}'
_encode = msgspec.json.Encoder().encode
_OPEN_ANSWER: Final = re.compile(r'\s*\{\s*"answer"\s*:\s*"')
_MAYBE: Final = re.compile(r'\s*(\{\s*("[a-z]*("\s*(:\s*)?)?)?)?$')
_INCOMPLETE_ESCAPE: Final = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}(\\(u[0-9a-fA-F]{0,3})?)?|\\(u[0-9a-fA-F]{0,3})?)$"
)


class _Call(Struct):
    name: str
    arguments: Raw


class _Reply(Struct):
    call: _Call | None = None
    answer: Raw | UnsetType = UNSET


class _Shown(Struct, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: Raw | None = None


_read_reply = msgspec.json.Decoder(_Reply).decode
_read_string = msgspec.json.Decoder(str).decode


def instruct(instructions: str | None, tools: Sequence[FunctionTool], choice: ToolChoice) -> str:
    """Return the system text that shows `tools` and the form of a reply."""
    shown = "\n".join(_encode(_Shown(tool.name, tool.description, tool.parameters)).decode() for tool in tools)
    text = f"These functions are available:\n{shown}\n"
    if choice.mode == "required":
        text += f"Call one: reply with {_CALL_FORM}."
    else:
        text += (
            f"If the user asks for something that one of them does, call it: reply with {_CALL_FORM}. "
            "For anything else, such as small talk, general knowledge or a result that is already there, "
            'reply with {"answer": "..."}.'
        )
    return f"{instructions}\n\n{text}" if instructions else text


def answer_schema(tools: Sequence[FunctionTool], choice: ToolChoice, form: TextFormat) -> Raw:
    """Return the JSON schema of a reply: a call of one of `tools`, or an answer unless a call is required."""
    definitions: dict[str, object] = {}
    branches: list[object] = [_call_branch(tool, number, definitions) for number, tool in enumerate(tools)]
    if choice.mode != "required":
        branches.append(_one_field("answer", _answer_value(form, definitions)))
    schema: dict[str, object] = {"anyOf": branches}
    if definitions:
        schema["$defs"] = definitions
    return Raw(_encode(schema))


class ConstrainedReader:
    """Turns the text of a constrained reply into the events of an answer or a call."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "unknown"
        self._raw: list[str] = []

    def feed(self, events: Sequence[ModelEvent]) -> list[ModelEvent]:
        """Return the events that `events` make certain."""
        out: list[ModelEvent] = []
        for event in events:
            if isinstance(event, TextDelta):
                if text := self._take(event.text):
                    out.append(TextDelta(text))
            elif isinstance(event, Finished):
                self._finish(event, out)
            else:
                out.append(event)
        return out

    def _take(self, text: str) -> str:
        if self._state == "plain":
            return text
        if self._state == "answer":
            return self._take_string(text)
        if self._state == "closed":
            return ""
        self._held += text
        if self._state == "whole":
            return ""
        if opening := _OPEN_ANSWER.match(self._held):
            rest, self._held = self._held[opening.end() :], ""
            self._state = "answer"
            return self._take_string(rest)
        if _MAYBE.match(self._held):
            return ""
        if self._held.lstrip().startswith("{"):
            self._state = "whole"
            return ""
        self._state = "plain"
        rest, self._held = self._held, ""
        return rest

    def _take_string(self, text: str) -> str:
        """Return the decoded part of a JSON string that is certain; the rest waits for the next piece."""
        data = self._held + text
        end = _closing_quote(data)
        if end is not None:
            self._state, self._held = "closed", ""
            return _unescape(data[:end])
        cut = _INCOMPLETE_ESCAPE.search(data)
        if cut is not None and _is_escape(data, cut.start()):
            self._held = data[cut.start() :]
            return _unescape(data[: cut.start()])
        self._held = ""
        return _unescape(data)

    def _finish(self, event: Finished, out: list[ModelEvent]) -> None:
        held, self._held = self._held, ""
        if self._state not in ("unknown", "whole") or not held:
            out.append(event)
            return
        try:
            reply = _read_reply(held)
        except msgspec.DecodeError:
            # Cut by the token limit inside a call: half a call is of no use to anybody.
            if event.reason != "length":
                out.append(TextDelta(held))
            out.append(event)
            return
        if reply.call is not None:
            arguments = bytes(reply.call.arguments).decode()
            out.append(CallDelta(0, arguments, call_id=new_call_id(), name=reply.call.name))
            out.append(Finished("tool_calls"))
            return
        out.append(TextDelta(bytes(reply.answer).decode() if reply.answer is not UNSET else held))
        out.append(event)


def _closing_quote(data: str) -> int | None:
    position = data.find('"')
    while position >= 0:
        if not _is_escaped(data, position):
            return position
        position = data.find('"', position + 1)
    return None


def _is_escaped(data: str, position: int) -> bool:
    start = position
    while start > 0 and data[start - 1] == "\\":
        start -= 1
    return (position - start) % 2 == 1


def _is_escape(data: str, position: int) -> bool:
    """Tell whether the backslash at `position` opens an escape and is not itself escaped."""
    return not _is_escaped(data, position)


def _unescape(data: str) -> str:
    if "\\" not in data:
        return data
    try:
        return _read_string(f'"{data}"')
    except msgspec.DecodeError:
        return data


def _call_branch(tool: FunctionTool, number: int, definitions: dict[str, object]) -> object:
    parameters = _hoist(tool.parameters, f"tool{number}_", definitions)
    call: dict[str, object] = {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
    return _one_field("call", call)


def _answer_value(form: TextFormat, definitions: dict[str, object]) -> object:
    match form.kind:
        case "text":
            return {"type": "string"}
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            return _hoist(form.schema, "answer_", definitions)


def _one_field(name: str, value: object) -> object:
    return {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}


def _hoist(schema: Raw | None, prefix: str, definitions: dict[str, object]) -> object:
    """Return `schema` with its own definitions moved into `definitions` under names of their own."""
    value: object = msgspec.json.decode(schema) if schema is not None else None
    if not isinstance(value, dict):
        return {"type": "object"}
    fields = cast("dict[str, object]", _rename_references(cast("object", value), prefix))
    for section in ("$defs", "definitions"):
        own = fields.pop(section, None)
        if isinstance(own, dict):
            definitions.update({f"{prefix}{key}": item for key, item in cast("dict[str, object]", own).items()})
    return fields or {"type": "object"}


def _rename_references(value: object, prefix: str) -> object:
    if isinstance(value, list):
        return [_rename_references(item, prefix) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    out: dict[str, object] = {}
    for key, item in cast("dict[str, object]", value).items():
        if key == "$ref" and isinstance(item, str):
            out[key] = re.sub(r"^#/(\$defs|definitions)/", f"#/$defs/{prefix}", item)
        else:
            out[key] = _rename_references(item, prefix)
    return out
