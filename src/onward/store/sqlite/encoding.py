"""Compact forms of what rows hold: public ids as 16 bytes where they are ours, names as numbers, tuples as msgpack.

Lists of names only ever grow at their end: the numbers are in files.
"""

import re
from typing import Final, get_args

import msgspec

from onward.core.ids import ITEM_PREFIXES
from onward.core.lineage import Lineage
from onward.core.turns import Dialect, RunError, RunStatus
from onward.core.usage import Usage

_OURS: Final = re.compile(r"([a-z]*_?)([0-9a-f]{32})")

ITEM_TYPES: Final = tuple(ITEM_PREFIXES)
ROLES: Final = ("user", "assistant", "system", "developer", "tool", "unknown", "critic", "discriminator")
STATUSES: Final[tuple[RunStatus, ...]] = get_args(RunStatus)
DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

_TYPE_NUMBER: Final = {name: number for number, name in enumerate(ITEM_TYPES)}
_ROLE_NUMBER: Final = {name: number for number, name in enumerate(ROLES)}
STATUS_NUMBER: Final = {name: number for number, name in enumerate(STATUSES)}
DIALECT_NUMBER: Final = {name: number for number, name in enumerate(DIALECTS)}

_pack = msgspec.msgpack.Encoder().encode
_read_lineage = msgspec.msgpack.Decoder(Lineage).decode
_read_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_read_usage = msgspec.msgpack.Decoder(tuple[int, int, int, int, int, bool]).decode
_read_error = msgspec.msgpack.Decoder(tuple[str, str]).decode


def pack_id(public_id: str) -> bytes | str:
    """Return a public id with its 32 hexadecimal digits as 16 bytes; other ids stay text, so the two never meet."""
    match = _OURS.fullmatch(public_id)
    if match is None:
        return public_id
    return match[1].encode() + bytes.fromhex(match[2])


def unpack_id(packed: bytes | str) -> str:
    """Return the public id that `pack_id` was given."""
    if isinstance(packed, str):
        return packed
    return packed[:-16].decode() + packed[-16:].hex()


def pack_type(name: str) -> int | str:
    """Return the number of an item type, or the name itself where it has none."""
    return _TYPE_NUMBER.get(name, name)


def unpack_type(value: int | str) -> str:
    """Return the name of an item type."""
    return ITEM_TYPES[value] if isinstance(value, int) else value


def pack_role(name: str | None) -> int | str | None:
    """Return the number of a role, or the name itself where it has none."""
    return None if name is None else _ROLE_NUMBER.get(name, name)


def unpack_role(value: int | str | None) -> str | None:
    """Return the name of a role."""
    return ROLES[value] if isinstance(value, int) else value


def pack_lineage(lineage: Lineage) -> bytes | None:
    """Return a lineage as bytes, None for the empty one."""
    return _pack(lineage) if lineage else None


def unpack_lineage(packed: bytes | None) -> Lineage:
    """Return the lineage of a column."""
    return _read_lineage(packed) if packed is not None else ()


def pack_names(names: tuple[str, ...]) -> bytes | None:
    """Return names (call ids) as bytes, None for no name."""
    return _pack(names) if names else None


def unpack_names(packed: bytes | None) -> tuple[str, ...]:
    """Return the names of a column."""
    return _read_names(packed) if packed is not None else ()


def pack_usage(usage: Usage) -> bytes:
    """Return usage as bytes."""
    return _pack(
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
            usage.estimated,
        )
    )


def unpack_usage(packed: bytes | None) -> Usage:
    """Return the usage of a column."""
    return Usage(*_read_usage(packed)) if packed is not None else Usage()


def pack_error(error: RunError | None) -> bytes | None:
    """Return an error as bytes."""
    return None if error is None else _pack((error.code, error.message))


def unpack_error(packed: bytes | None) -> RunError | None:
    """Return the error of a column."""
    return None if packed is None else RunError(*_read_error(packed))


def pack_object(body: bytes) -> bytes | None:
    """Return a JSON object as it is, None for the empty one."""
    return None if body == b"{}" else body


def unpack_object(body: bytes | None) -> bytes:
    """Return the JSON object of a column."""
    return b"{}" if body is None else body
