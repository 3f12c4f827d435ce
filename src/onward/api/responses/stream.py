"""The pure fold from a turn's events to the frames of a Responses stream, numbers dense from 0.

It renders; it does no input or output and knows nothing of HTTP.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, assert_never

import msgspec
from msgspec import Raw, Struct

from onward.api.responses.items import Include, item_view
from onward.api.responses.view import Head, Outcome, render_response
from onward.core.compose import WITHOUT_STATUS, citation_json, hosted_members, namespace_member
from onward.core.events import (
    ActionRequired,
    Annotation,
    Delta,
    Event,
    ItemClosed,
    ItemCut,
    ItemOpened,
    NumbersSkipped,
    ToolFinished,
    ToolStarted,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnIncomplete,
    TurnQueued,
    TurnStarted,
    UsageReported,
)
from onward.core.items import Item, encode

DONE: Final = b"data: [DONE]\n\n"

_DELTAS: Final = {
    "text": b"response.output_text.delta",
    "refusal": b"response.refusal.delta",
    "arguments": b"response.function_call_arguments.delta",
    "reasoning": b"response.reasoning_text.delta",
    "summary": b"response.reasoning_summary_text.delta",
    "code": b"response.code_interpreter_call_code.delta",
    "input": b"response.custom_tool_call_input.delta",
}
_PART_CHANNELS: Final = frozenset({"text", "refusal", "reasoning"})
_EMPTY_PARTS: Final = {
    "text": b'{"type":"output_text","annotations":[],"logprobs":[],"text":""}',
    "refusal": b'{"type":"refusal","refusal":""}',
    "reasoning": b'{"type":"reasoning_text","text":""}',
}
_HOSTED_VERBS: Final = {
    "file_search_call": b"searching",
    "web_search_call": b"searching",
    "code_interpreter_call": b"interpreting",
    "mcp_call": None,
    "mcp_list_tools": None,
}
"""Hosted items that tell of their progress, each with its own verb for the work, if it has one."""
_FAILURES_TOLD: Final = frozenset({"mcp_call", "mcp_list_tools"})


class _Content(Struct, frozen=True):
    content: tuple[Raw, ...] | None = None
    arguments: str = ""
    name: str = ""


class _Part(Struct, frozen=True):
    type: str
    text: str = ""
    refusal: str = ""


_read_content = msgspec.json.Decoder(_Content).decode
_read_part = msgspec.json.Decoder(_Part).decode


class _Open:
    """An item whose frames are being written."""

    __slots__ = ("annotations", "head", "id", "parts", "tails", "type")

    def __init__(self, event: ItemOpened) -> None:
        self.id = encode(event.id)
        self.type = event.type
        self.parts = 0
        self.annotations = 0
        self.head: dict[tuple[str, int], bytes] = {}
        self.tails: dict[tuple[str, int], bytes] = {}


class ResponseStream:
    """Turns batches of events into bytes; keeps what a frame needs of earlier ones.

    Frames with numbers up to `after` are counted and left out.
    """

    def __init__(self, head: Head, *, include: Include, obfuscate: bool, after: int = -1) -> None:
        self._head = head
        self._after = after
        self._created = False
        self._include = include
        self._number = 0
        self._open: dict[int, _Open] = {}
        self._closed: dict[int, Item] = {}
        self._padding = _padding(head.id) if obfuscate else None

    def frames(self, events: Sequence[Event]) -> bytes:
        """Return the frames of a batch of events."""
        return b"".join(self.each(events))

    def each(self, events: Sequence[Event]) -> list[bytes]:
        """Return the frames of a batch of events, one by one; the last one of a stream is DONE."""
        out: list[bytes] = []
        for event in events:
            if isinstance(event, Delta):
                self._delta(event, out)
            else:
                self._fold(event, out)
        return out

    def _fold(self, event: Event, out: list[bytes]) -> None:
        match event:
            case ItemOpened():
                self._opened(event, out)
            case ItemClosed() | ItemCut():
                self._item_closed(event, out)
            case Annotation():
                self._annotation(event, out)
            case ToolStarted():
                self._tool_started(event, out)
            case ToolFinished():
                self._tool_finished(event, out)
            case UsageReported() | ActionRequired():
                pass
            case NumbersSkipped():
                self._number += event.count
            case Delta():
                self._delta(event, out)
            case TurnQueued() | TurnStarted():
                self._begins(event, out)
            case _:
                self._ended(event, out)

    def _begins(self, event: TurnQueued | TurnStarted, out: list[bytes]) -> None:
        queued = isinstance(event, TurnQueued)
        outcome = Outcome(status="queued" if queued else "in_progress")
        if not self._created:
            self._created = True
            self._lifecycle(b"response.created", outcome, out)
        self._lifecycle(b"response.queued" if queued else b"response.in_progress", outcome, out)

    def _ended(self, event: TurnCompleted | TurnIncomplete | TurnFailed | TurnCancelled, out: list[bytes]) -> None:
        output = [self._closed[index] for index in sorted(self._closed)]
        match event:
            case TurnCompleted():
                ended = Outcome(status="completed", output=output, usage=event.usage, completed_at=event.completed_at)
                name = b"response.completed"
            case TurnIncomplete():
                ended = Outcome(status="incomplete", output=output, usage=event.usage, incomplete_reason=event.reason)
                name = b"response.incomplete"
            case TurnFailed():
                ended = Outcome(status="failed", output=output, usage=event.usage, error=event.error)
                name = b"response.failed"
            case TurnCancelled():
                ended = Outcome(status="cancelled", output=output, usage=event.usage)
                name = b"response.failed"
            case _ as never:
                assert_never(never)
        self._lifecycle(name, ended, out)
        out.append(DONE)

    def _lifecycle(self, name: bytes, outcome: Outcome, out: list[bytes]) -> None:
        self._frame(name, b'"response":%b' % render_response(self._head, outcome, self._include), out)

    def _frame(self, name: bytes, members: bytes, out: list[bytes]) -> None:
        number = self._number
        self._number = number + 1
        if number > self._after:
            out.append(b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n' % (name, name, members, number))

    def _delta(self, event: Delta, out: list[bytes]) -> None:
        item = self._open[event.index]
        key = (event.channel, event.part)
        head = item.head.get(key)
        if head is None:
            head = self._begin_part(item, event, out)
        number = self._number
        self._number = number + 1
        if number <= self._after:
            return
        delta = encode(event.text)
        if self._padding is None:
            out.append(b'%b%b,"sequence_number":%d}\n\n' % (head, delta, number))
        else:
            size = 16 - len(delta) % 16
            start = number % 48
            pad = self._padding[start : start + size]
            out.append(b'%b%b,"obfuscation":"%b","sequence_number":%d}\n\n' % (head, delta, pad, number))

    def _begin_part(self, item: _Open, event: Delta, out: list[bytes]) -> bytes:
        name = b"response.mcp_call_arguments.delta" if item.type == "mcp_call" else _DELTAS[event.channel]
        where = b'"item_id":%b,"output_index":%d' % (item.id, event.index)
        if event.channel in _PART_CHANNELS:
            where += b',"content_index":%d' % event.part
            item.parts = max(item.parts, event.part + 1)
            self._frame(b"response.content_part.added", b'%b,"part":%b' % (where, _EMPTY_PARTS[event.channel]), out)
        if event.channel == "text":
            where += b',"logprobs":[]'
        head = b'event: %b\ndata: {"type":"%b",%b,"delta":' % (name, name, where)
        item.head[event.channel, event.part] = head
        return head

    def _opened(self, event: ItemOpened, out: list[bytes]) -> None:
        self._open[event.index] = _Open(event)
        members = b'"output_index":%d,"item":%b' % (event.index, _opening(event))
        self._frame(b"response.output_item.added", members, out)
        if event.type in _HOSTED_VERBS:
            self._hosted(event.index, b"in_progress", out)

    def _tool_started(self, event: ToolStarted, out: list[bytes]) -> None:
        item = self._open[event.index]
        verb = _HOSTED_VERBS.get(item.type)
        if verb is not None:
            self._hosted(event.index, verb, out)
        elif item.type == "mcp_call":
            said = b'"item_id":%b,"output_index":%d,"arguments":%b' % (item.id, event.index, encode(event.arguments))
            self._frame(b"response.mcp_call_arguments.done", said, out)

    def _tool_finished(self, event: ToolFinished, out: list[bytes]) -> None:
        if event.status == "completed":
            self._hosted(event.index, b"completed", out)
        elif self._open[event.index].type in _FAILURES_TOLD:
            self._hosted(event.index, b"failed", out)

    def _hosted(self, index: int, verb: bytes, out: list[bytes]) -> None:
        item = self._open[index]
        name = b"response.%b.%b" % (item.type.encode(), verb)
        self._frame(name, b'"output_index":%d,"item_id":%b' % (index, item.id), out)

    def _annotation(self, event: Annotation, out: list[bytes]) -> None:
        item = self._open[event.index]
        members = b'"item_id":%b,"output_index":%d,"content_index":%d,"annotation_index":%d,"annotation":%b' % (
            item.id,
            event.index,
            event.part,
            item.annotations,
            citation_json(event.citation),
        )
        item.annotations += 1
        self._frame(b"response.output_text.annotation.added", members, out)

    def _item_closed(self, event: ItemClosed | ItemCut, out: list[bytes]) -> None:
        item = self._open.pop(event.index)
        closed = event.item
        if isinstance(event, ItemClosed):
            self._closed[event.index] = closed
        where = b'"item_id":%b,"output_index":%d' % (item.id, event.index)
        if closed.type in ("message", "reasoning"):
            self._close_parts(item, closed, where, out)
        elif closed.type == "function_call":
            call = _read_content(closed.body)
            said = b'%b,"name":%b,"arguments":%b' % (where, encode(call.name), encode(call.arguments))
            self._frame(b"response.function_call_arguments.done", said, out)
        view = item_view(closed, self._include)
        self._frame(b"response.output_item.done", b'"output_index":%d,"item":%b' % (event.index, view), out)

    def _close_parts(self, item: _Open, closed: Item, where: bytes, out: list[bytes]) -> None:
        for index, raw in enumerate(_read_content(closed.body).content or ()):
            if index >= item.parts:
                break
            part = _read_part(raw)
            at = b'%b,"content_index":%d' % (where, index)
            if part.type == "output_text":
                members = b'%b,"logprobs":[],"text":%b' % (at, encode(part.text))
                self._frame(b"response.output_text.done", members, out)
            elif part.type == "refusal":
                self._frame(b"response.refusal.done", b'%b,"refusal":%b' % (at, encode(part.refusal)), out)
            else:
                self._frame(b"response.reasoning_text.done", b'%b,"text":%b' % (at, encode(part.text)), out)
            self._frame(b"response.content_part.done", b'%b,"part":%b' % (at, bytes(raw)), out)


def _opening(event: ItemOpened) -> bytes:
    """Return an item as it stands when it begins."""
    head = b'{"id":%b,"type":%b' % (encode(event.id), encode(event.type))
    if event.type not in WITHOUT_STATUS:
        head += b',"status":"in_progress"'
    match event.type:
        case "message":
            rest = b',"role":"assistant","content":[]}'
        case "reasoning":
            rest = b',"summary":[],"content":[]}'
        case "function_call":
            named = encode(event.name) + namespace_member(event.label)
            rest = b',"arguments":"","call_id":%b,"name":%b}' % (encode(event.call_id), named)
        case _:
            members = hosted_members(event.type, name=event.name or "", label=event.label)
            rest = b"," + members[1:] if len(members) > 2 else members[1:]
    return head + rest


def _padding(response_id: str) -> bytes:
    """Return 64 characters that depend on the response alone, so that a replay has the same bytes."""
    return blake2b(response_id.encode(), digest_size=32).hexdigest().encode()
