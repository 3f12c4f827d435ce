"""Lineage: which entries of which logs make up a context, and the rolling hash that recognises a re-sent history."""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from onward.core.items import Item, read_message


class Segment(Struct, frozen=True, array_like=True):
    """Entries of `log` at positions <= `upto`, as they were visible at `version` of that log."""

    log: int
    upto: int
    version: int


Lineage = tuple[Segment, ...]

EMPTY_HASH: Final = b"\x00" * 16

_canonical = msgspec.json.Encoder(order="deterministic").encode
_fields = msgspec.json.Decoder(dict[str, object]).decode
_VOLATILE: Final = ("id", "status", "created_by", "phase")
_GATED: Final = {"file_search_call": "results", "code_interpreter_call": "outputs"}
"""Fields that an answer shows only on request (`include`), so that a client often cannot send them back."""


def extend_hash(previous: bytes, item: Item) -> bytes:
    """Return the 16-byte hash of a history that goes on with `item`.

    Two forms of one message hash alike: an answer as it was stored, as the client re-sends it, and as an easy message
    with a string; ids, statuses, annotations and absent (null) fields do not count.
    """
    return blake2b(_canonical_item(item), key=previous, digest_size=16).digest()


def _canonical_item(item: Item) -> bytes:
    if item.type == "message":
        message = read_message(item.body)
        content = message.content
        author = (message.role,) if message.name is None else (message.role, message.name)
        if isinstance(content, str):
            return _canonical((*author, content))
        if content and all(part.text is not None for part in content):
            return _canonical((*author, "\n".join(part.text or "" for part in content)))
    fields = {name: value for name, value in _fields(item.body).items() if value is not None}
    for name in (*_VOLATILE, _GATED.get(item.type, "id")):
        fields.pop(name, None)
    return _canonical(fields)
