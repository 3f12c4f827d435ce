"""The frames between the embedder's child process and its clients: a length and a msgpack body.

It knows no model and no processes.
"""

from __future__ import annotations

import asyncio
import struct

import msgspec

from onward.ports.embed import Lane

MAX_FRAME = 64 * 1024 * 1024
_LENGTH = struct.Struct("<I")


class Request(msgspec.Struct, frozen=True, array_like=True):
    """Texts to embed; ``id`` is chosen by the client and is unique on its connection."""

    id: int
    lane: Lane
    texts: list[str]


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """Vectors as float32 bytes, or an error in words."""

    id: int
    dimensions: int
    data: bytes
    error: str | None = None


def encode_frame(message: Request | Reply) -> bytes:
    """Return the message with its length in front."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next body, or None at the end of the stream; raises ValueError for a frame that is too large."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise ValueError(f"a frame of {length} bytes")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
