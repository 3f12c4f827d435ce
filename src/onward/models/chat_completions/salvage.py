"""Tool calls that a model wrote as text: content that is one JSON object naming an offered tool is a call.

Some models know the form of a call but not the template their server expects; their calls then arrive as content.
Text that cannot be a call is passed on at once. Must not know HTTP.
"""

import re
from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from onward.core.tools import FunctionTool
from onward.models.chat_completions.calls import new_call_id
from onward.ports.model import CallDelta, Finished, ModelEvent, TextDelta

HOLD_LIMIT: Final = 256 * 1024
"""Characters that are held back at most while they may still become a call."""

_WRAPPINGS: Final = ("{", "```", "<tool_call>", "<function_call>", "<tools>")
_UNWRAP: Final = re.compile(
    r"\s*(?:```(?:json|tool_call)?\s*(?P<fence>.*?)\s*```|<(?P<tag>tool_call|function_call|tools)>\s*(?P<tagged>.*?)"
    r"\s*(?:</(?P=tag)>)?|(?P<bare>\{.*\}))\s*",
    re.DOTALL,
)


class _NamedCall(Struct):
    name: str | None = None
    arguments: Raw | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET
    function: "str | _NamedCall | None" = None


class _Parameters(Struct):
    properties: dict[str, object] = {}
    required: list[str] = []


_read_call = msgspec.json.Decoder(_NamedCall).decode
_read_parameters = msgspec.json.Decoder(_Parameters).decode


class SalvageReader:
    """Holds text back while it may be a call of `tools`, and lets everything else through."""

    def __init__(self, tools: Sequence[FunctionTool]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._held: list[TextDelta] = []
        self._text = ""
        self._open = True

    def feed(self, events: Sequence[ModelEvent]) -> list[ModelEvent]:
        """Return the events that `events` make certain."""
        if not self._open:
            return list(events)
        out: list[ModelEvent] = []
        for event in events:
            if isinstance(event, TextDelta) and self._open:
                self._hold(event, out)
            elif isinstance(event, CallDelta):
                self._release(out)
                out.append(event)
            elif isinstance(event, Finished):
                self._finish(event, out)
            else:
                out.append(event)
        return out

    def _hold(self, event: TextDelta, out: list[ModelEvent]) -> None:
        self._held.append(event)
        self._text += event.text
        start = self._text.lstrip()[:20]
        if len(self._text) > HOLD_LIMIT or not any(start.startswith(form[: len(start)]) for form in _WRAPPINGS):
            self._release(out)

    def _release(self, out: list[ModelEvent]) -> None:
        out.extend(self._held)
        self._held.clear()
        self._open = False

    def _finish(self, event: Finished, out: list[ModelEvent]) -> None:
        call = self._call() if self._open and event.reason != "length" else None
        if call is None:
            self._release(out)
            out.append(event)
            return
        self._held.clear()
        out.append(call)
        out.append(Finished("tool_calls"))

    def _call(self) -> CallDelta | None:
        match = _UNWRAP.fullmatch(self._text)
        if match is None:
            return None
        text = match["fence"] or match["tagged"] or match["bare"]
        try:
            found = _read_call(text or "")
        except msgspec.DecodeError:
            return None
        if isinstance(found.function, _NamedCall):
            found = found.function
        name = found.name or (found.function if isinstance(found.function, str) else None)
        tool = self._tools.get(name or "")
        arguments = _arguments(found)
        if tool is None or arguments is None or not _fits(arguments, tool):
            return None
        return CallDelta(0, arguments, call_id=new_call_id(), name=tool.name)


def _arguments(call: _NamedCall) -> str | None:
    raw = call.arguments if call.arguments is not UNSET else call.parameters
    if raw is UNSET:
        return None
    text = bytes(raw).decode()
    if text.startswith('"'):
        return msgspec.json.decode(text, type=str)
    return text


def _fits(arguments: str, tool: FunctionTool) -> bool:
    """Tell whether the arguments are an object with the required fields and no field that the schema does not have."""
    try:
        values: object = msgspec.json.decode(arguments)
        parameters = _read_parameters(tool.parameters) if tool.parameters is not None else _Parameters()
    except msgspec.DecodeError:
        return False
    if not isinstance(values, dict):
        return False
    names = set(cast("dict[str, object]", values))
    return names.issuperset(parameters.required) and (not parameters.properties or names <= set(parameters.properties))
