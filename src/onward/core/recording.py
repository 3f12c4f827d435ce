"""A turn's events as bytes, so that its stream can be told again exactly as it was.

Deltas of one run of text are kept together. Where the finished items are at hand, their text is left out and only the
lengths of its deltas are kept (about a byte each): the text is in the items. Must not know rows or frames.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, assert_never, cast

import msgspec
from msgspec import Struct

from onward.core.compose import citation_json
from onward.core.events import (
    ActionRequired,
    Annotation,
    Channel,
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
from onward.core.items import Citation, Cited, Item, UrlCitation

Row = tuple[Any, ...]
Key = tuple[int, Channel, int]
"""Output index, channel and part: one text that deltas tell."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[list[Any]]).decode

_WHOLE: Final[Sequence[type[Struct]]] = (
    TurnQueued,
    TurnStarted,
    ItemOpened,
    ToolStarted,
    ToolFinished,
    ActionRequired,
    UsageReported,
    TurnCompleted,
    TurnIncomplete,
    TurnFailed,
    TurnCancelled,
    ItemClosed,
    ItemCut,
    NumbersSkipped,
)
"""Events that are kept as their fields, by number: numbers are in files, so this only grows at its end."""
_NUMBER: Final[Mapping[type[Struct], int]] = {kind: number for number, kind in enumerate(_WHOLE)}
_TEXTS: Final = 100
_LENGTHS: Final = 101
_CITED: Final = 102
_CLOSED: Final = 103

_CITATIONS: Final[Mapping[str, type[Cited]]] = {"file_citation": Citation, "url_citation": UrlCitation}

TERMINAL_EVENTS: Final = (TurnCompleted, TurnIncomplete, TurnFailed, TurnCancelled)


class RecordingBroken(Exception):
    """A recording needs an item that is not there."""


class _Texts(Struct, frozen=True):
    """A run of deltas of one text."""

    key: Key
    parts: list[str]


def pack_events(events: Sequence[Event], *, items: Sequence[Item] = ()) -> bytes:
    """Return events as bytes; what the finished `items` can give back is left out."""
    known = {item.id: item for item in items}
    groups = _grouped(events)
    spoken = _spoken(groups, known)
    rows: list[Row] = []
    for group in groups:
        if isinstance(group, _Texts):
            if group.key in spoken:
                rows.append((_LENGTHS, *group.key, _write_lengths(list(map(len, group.parts)))))
            else:
                rows.append((_TEXTS, *group.key, group.parts))
        elif isinstance(group, ItemClosed) and known.get(group.item.id) == group.item:
            rows.append((_CLOSED, group.index, group.item.id))
        elif isinstance(group, Annotation):
            rows.append((_CITED, group.index, group.part, citation_json(group.citation)))
        else:
            fields = msgspec.to_builtins(group, builtin_types=(bytes,))
            rows.append((_NUMBER[type(group)], *fields.values()))
    return _pack(rows)


def _grouped(events: Sequence[Event]) -> list[Event | _Texts]:
    """Return runs of deltas of one text together, other events as they are. This looks at every token."""
    groups: list[Event | _Texts] = []
    index, channel, part = -1, "", 0
    parts: list[str] = []
    for event in events:
        if not isinstance(event, Delta):
            groups.append(event)
            index = -1
        elif event.index == index and event.channel == channel and event.part == part:
            parts.append(event.text)
        else:
            index, channel, part = event.index, event.channel, event.part
            parts = [event.text]
            groups.append(_Texts((index, channel, part), parts))
    return groups


def _spoken(groups: Sequence[Event | _Texts], known: Mapping[str, Item]) -> set[Key]:
    """Return which texts stand in a finished item exactly as their deltas told them."""
    if not known:
        return set()
    texts: dict[Key, list[str]] = {}
    ids: dict[int, str] = {}
    for group in groups:
        if isinstance(group, _Texts):
            texts.setdefault(group.key, []).extend(group.parts)
        elif isinstance(group, ItemOpened):
            ids[group.index] = group.id
    found: set[Key] = set()
    for key, parts in texts.items():
        item = known.get(ids.get(key[0], ""))
        if item is not None and _channel_text(item, key[1], key[2]) == "".join(parts):
            found.add(key)
    return found


def unpack_events(packed: bytes, *, items: Sequence[Item] = ()) -> list[Event]:
    """Return the events of a recording, one Delta for each that there was. Raises RecordingBroken."""
    return _Reader(items).read(packed)


class _Reader:
    """Reads one recording; remembers which item stands where and how far each text was told."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._known = {item.id: item for item in items}
        self._ids: dict[int, str] = {}
        self._told: dict[Key, int] = {}

    def read(self, packed: bytes) -> list[Event]:
        events: list[Event] = []
        for row in _unpack(packed):
            number: int = row[0]
            fields = row[1:]
            if number == _TEXTS:
                index, channel, part, texts = fields
                events.extend([Delta(index, channel, text, part) for text in texts])
            elif number == _LENGTHS:
                events.extend(self._deltas(*fields))
            elif number == _CITED:
                events.append(Annotation(fields[0], _read_citation(fields[2]), fields[1]))
            elif number == _CLOSED:
                events.append(ItemClosed(fields[0], self._item(fields[1])))
            else:
                events.append(self._whole(_WHOLE[number], fields))
        return events

    def _whole(self, kind: type[Struct], fields: Sequence[Any]) -> Event:
        event = cast("Event", msgspec.convert(dict(zip(kind.__struct_fields__, fields, strict=False)), kind))
        if isinstance(event, ItemOpened):
            self._ids[event.index] = event.id
        return event

    def _deltas(self, index: int, channel: Channel, part: int, lengths: bytes) -> list[Event]:
        key = (index, channel, part)
        text = _channel_text(self._item(self._ids.get(index, "")), channel, part)
        place = self._told.get(key, 0)
        deltas: list[Event] = []
        for length in _read_lengths(lengths):
            deltas.append(Delta(index, channel, text[place : place + length], part))
            place += length
        self._told[key] = place
        return deltas

    def _item(self, item_id: str) -> Item:
        item = self._known.get(item_id)
        if item is None:
            raise RecordingBroken(f"the item '{item_id}' is not stored")
        return item


class _Part(Struct, frozen=True):
    text: str = ""
    refusal: str = ""


class _Spoken(Struct, frozen=True):
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    arguments: str = ""
    input: str = ""
    code: str | None = None


_read_spoken = msgspec.json.Decoder(_Spoken).decode


def _channel_text(item: Item, channel: Channel, part: int) -> str:
    """Return the text that the deltas of a channel add up to."""
    try:
        spoken = _read_spoken(item.body)
    except msgspec.DecodeError:
        return ""
    match channel:
        case "arguments":
            return spoken.arguments
        case "input":
            return spoken.input
        case "code":
            return spoken.code or ""
        case "text" | "refusal" | "reasoning" | "summary":
            parts = (spoken.summary if channel == "summary" else spoken.content) or []
            if part >= len(parts):
                return ""
            return parts[part].refusal if channel == "refusal" else parts[part].text
        case _ as never:
            assert_never(never)


def _write_lengths(lengths: Sequence[int]) -> bytes:
    """Return numbers as little-endian groups of seven bits, each but the last of a number marked by the eighth."""
    if max(lengths) < 0x80:
        return bytes(lengths)
    out = bytearray()
    for length in lengths:
        left = length
        while left >= 0x80:
            out.append(left & 0x7F | 0x80)
            left >>= 7
        out.append(left)
    return bytes(out)


def _read_lengths(packed: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            continue
        yield value
        value = shift = 0


class _CitationKind(Struct, frozen=True):
    type: str


def _read_citation(body: bytes) -> Cited:
    kind = msgspec.json.decode(body, type=_CitationKind).type
    return msgspec.json.decode(body, type=_CITATIONS[kind])
