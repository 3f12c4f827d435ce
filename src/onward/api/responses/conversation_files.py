"""Whole conversations as JSONL, out and in: an extension. The first line tells of the conversation, then one line is
one item, and the last line counts them, so that a file that was cut short is known.

Items are written as they are stored, with everything that `include` gates, so that an import restores them. Nothing of
an import is visible before all of it is stored.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from onward.api import query
from onward.api.body import decode_json, describe_mismatch
from onward.api.json_faults import unreadable
from onward.api.metadata import Metadata, check_metadata
from onward.api.reply import json_reply
from onward.api.responses.conversations import conversation_view
from onward.api.responses.input_items import Fields, read_item
from onward.api.services import project_of
from onward.core.clock import now
from onward.core.errors import ConflictError, NotFoundError, PayloadTooLargeError, RequestError
from onward.core.items import Item, encode
from onward.core.lineage import EMPTY_HASH, extend_hash
from onward.ports.conversations import Conversation, Conversations, IncomingConversation

MEDIA_TYPE: Final = "application/jsonl"
KIND: Final = "conversation.export"
END: Final = "conversation.export.end"
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_LINE: Final = 32 * 1024 * 1024
MAX_ITEMS: Final = 100_000
BATCH: Final = 128
"""Items that one transaction takes in."""

_ID: Final = re.compile(r"(?:conv|thread)_([A-Za-z0-9_-]{1,128})")


class Header(Struct, frozen=True):
    """The first line of an export."""

    object: str = ""
    id: str | None = None
    created_at: float | None = None
    metadata: Metadata = None


_decode_header = msgspec.json.Decoder(Header)
_decode_fields = msgspec.json.Decoder(Fields)


class _Digest:
    """What tells whether two conversations are the same: ids and contents of their items, in order."""

    def __init__(self) -> None:
        self._ids = blake2b(digest_size=16)
        self._content = EMPTY_HASH
        self.count = 0

    def add(self, item: Item) -> None:
        self._ids.update(item.id.encode() + b"\n")
        self._content = extend_hash(self._content, item)
        self.count += 1

    def value(self) -> tuple[int, bytes, bytes]:
        return self.count, self._ids.digest(), self._content


async def export(request: Request) -> Response:
    """`GET /v1/conversations/{conversation_id}/export`: the conversation as JSONL."""
    conversation_id = request.path_params["conversation_id"]
    conversations = project_of(request).conversations
    conversation = await conversations.get(conversation_id)
    name = f"conv_{conversation.suffix}"
    headers = {"content-disposition": f'attachment; filename="{name}.jsonl"'}
    lines = _lines(conversations, conversation_id, conversation)
    return StreamingResponse(lines, media_type=MEDIA_TYPE, headers=headers)


async def _lines(
    conversations: Conversations, conversation_id: str, conversation: Conversation
) -> AsyncGenerator[bytes]:
    yield b'{"object":"%b","id":%b,"created_at":%b,"metadata":%b}\n' % (
        KIND.encode(),
        encode(f"conv_{conversation.suffix}"),
        encode(conversation.created_at),
        conversation.metadata,
    )
    count = 0
    async for batch in conversations.items(conversation_id):
        count += len(batch)
        yield b"".join(_line(item) for item in batch)
    yield encode({"object": END, "items": count}) + b"\n"


def _line(item: Item) -> bytes:
    body = item.body if b"\n" not in item.body else msgspec.json.format(item.body, indent=-1)
    return body + b"\n"


async def import_conversation(request: Request) -> Response:
    """`POST /v1/conversations/import`: a conversation from JSONL, under its own id or, with `new_id`, a fresh one."""
    fresh_id = query.flag(request.query_params, "new_id")
    conversations = project_of(request).conversations
    lines = _read_lines(request)
    first = await anext(lines, None)
    header, pending = _header(first)
    suffix = None if fresh_id else _suffix(header.id)
    metadata = check_metadata(header.metadata)
    created_at = now() if header.created_at is None else header.created_at
    items = _read_items(lines, pending)
    known = None if suffix is None else await _known(conversations, suffix)
    if known is not None:
        return json_reply(conversation_view(await _same(conversations, known, items)))
    async with conversations.receive(metadata=metadata, created_at=created_at) as incoming:
        await _take_in(incoming, items)
        made = await incoming.finish(suffix)
    return json_reply(conversation_view(made))


def _header(line: bytes | None) -> tuple[Header, bytes | None]:
    """Return the header, and the first line where that is an item already."""
    if line is None:
        raise RequestError("The import is empty: expected JSON lines, a conversation first and then its items.")
    fields = decode_json(line, _decode_fields)
    if fields.get("object") != KIND:
        return Header(), line
    header = decode_json(line, _decode_header)
    if header.created_at is not None and not 0 <= header.created_at < 1e11:
        raise RequestError(
            "Invalid 'created_at': expected seconds since the epoch.", param="created_at", code="invalid_value"
        )
    return header, None


def _suffix(conversation_id: str | None) -> str | None:
    if conversation_id is None:
        return None
    match = _ID.fullmatch(conversation_id)
    if match is None:
        raise RequestError(
            "Invalid 'id'. Expected an ID that begins with 'conv_', followed by letters, digits, '_' and '-'.",
            param="id",
            code="invalid_value",
        )
    return match[1]


async def _known(conversations: Conversations, suffix: str) -> Conversation | None:
    try:
        return await conversations.get(f"conv_{suffix}")
    except NotFoundError:
        return None


async def _same(conversations: Conversations, known: Conversation, items: AsyncIterator[Item]) -> Conversation:
    """Return the conversation that is there where the import is equal to it. Raises ConflictError."""
    given, stored = _Digest(), _Digest()
    async for item in items:
        given.add(item)
    async for batch in conversations.items(f"conv_{known.suffix}"):
        for item in batch:
            stored.add(item)
    if given.value() != stored.value():
        raise ConflictError(
            f"A conversation with the id 'conv_{known.suffix}' exists already and is another one. Import it with "
            "'new_id=true' to keep both.",
            param="id",
            code="conversation_exists",
        )
    return known


async def _take_in(incoming: IncomingConversation, items: AsyncIterator[Item]) -> None:
    batch: list[Item] = []
    async for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            await incoming.add(batch)
            batch = []
    if batch:
        await incoming.add(batch)


async def _read_items(lines: AsyncIterator[bytes], pending: bytes | None) -> AsyncGenerator[Item]:
    """Yield the items of an import; `pending` is its first line where that is an item.

    Raises RequestError that names the line, PayloadTooLargeError.
    """
    seen: set[str] = set()
    number = 1
    if pending is not None:
        yield _read_item(_read_fields(pending, number), number, seen)
    async for line in lines:
        number += 1
        fields = _read_fields(line, number)
        if fields.get("object") == END:
            _check_count(fields.get("items"), len(seen))
            return
        if len(seen) >= MAX_ITEMS:
            raise PayloadTooLargeError(f"An import has at most {MAX_ITEMS} items.", code="request_too_large")
        yield _read_item(fields, number, seen)
    if pending is None:
        raise RequestError("The import ends early: its last line, which counts the items, is missing.")


def _check_count(told: object, count: int) -> None:
    if told != count:
        raise RequestError(f"The import has {count} items, but its last line tells of {told!s:.20}.")


def _read_fields(line: bytes, number: int) -> Fields:
    path = f"line {number}"
    try:
        return _decode_fields.decode(line)
    except msgspec.ValidationError as error:
        raise describe_mismatch(str(error), at=path) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = unreadable(line, error)
        raise RequestError(f"{path}: {fault.message}", param=path, code=fault.code) from error


def _read_item(fields: Fields, number: int, seen: set[str]) -> Item:
    path = f"line {number}"
    item = read_item(fields, path)
    if not isinstance(item, Item):
        raise RequestError(
            f"Invalid value for '{path}.type': an import has items, no references.", param=path, code="invalid_value"
        )
    if item.id in seen:
        raise RequestError(
            f"Duplicate item found with id {item.id}. Remove duplicate items from your input and try again.",
            param=path,
        )
    seen.add(item.id)
    return item


async def _read_lines(request: Request) -> AsyncGenerator[bytes]:
    """Yield the lines of a body that are not empty. Raises PayloadTooLargeError, RequestError (cut short)."""
    kept: list[bytes] = []
    length = size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BYTES:
                raise PayloadTooLargeError(
                    f"The import is too large. The limit is {MAX_BYTES} bytes.", code="request_too_large"
                )
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                line = b"".join((*kept, part)).strip()
                kept, length = [], 0
                if line:
                    yield line
            kept.append(rest)
            length += len(rest)
            if length > MAX_LINE:
                raise PayloadTooLargeError(
                    f"A line of the import is too long. The limit is {MAX_LINE} bytes.", code="request_too_large"
                )
    except ClientDisconnect as error:
        raise RequestError("The request body ended early.") from error
    if line := b"".join(kept).strip():
        yield line


routes: list[BaseRoute] = [
    Route("/v1/conversations/import", import_conversation, methods=["POST"]),
    Route("/v1/conversations/{conversation_id}/export", export, methods=["GET"]),
]
