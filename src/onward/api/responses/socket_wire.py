"""The messages of a Responses WebSocket: what a client may say, and the three kinds of answers, as JSON text.

It must not know connections or turns: bytes in, bytes out.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from onward.api.body import decode_json
from onward.api.errors import ErrorDetail, error_headers, invalid_value, missing_parameter, too_long
from onward.core.errors import OnwardError, RequestError
from onward.core.items import encode

TYPES: Final = ("response.create", "response.steer")
MAX_STREAM_ID: Final = 64
_DATA: Final = b"\ndata: "


class ConnectionLimit(RequestError):
    """Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue."""

    def __init__(self) -> None:
        super().__init__(code="websocket_connection_limit_reached")


class Create(Struct, frozen=True):
    """A `response.create`: the lane it goes to, and its whole message, which is a create call's body and more."""

    stream_id: str | None
    generate: bool
    body: bytes


class Steer(Struct, frozen=True):
    """A `response.steer`; its input stays as it came, because it goes back."""

    previous_response_id: str
    input: Raw


class _Head(Struct, frozen=True):
    type: str | None = None
    stream_id: str | None = None
    generate: bool | None = None


_decode_head = msgspec.json.Decoder(_Head)
_decode_steer = msgspec.json.Decoder(Steer)


def read_message(message: bytes) -> Create | Steer:
    """Return what a client says. Raises RequestError."""
    head = decode_json(message, _decode_head)
    if head.type is None:
        raise missing_parameter("type")
    if head.type == "response.steer":
        return decode_json(message, _decode_steer)
    if head.type != "response.create":
        raise invalid_value("type", head.type, TYPES)
    if head.stream_id is not None and not 0 < len(head.stream_id) <= MAX_STREAM_ID:
        if not head.stream_id:
            raise invalid_value("stream_id", head.stream_id)
        raise too_long("stream_id", len(head.stream_id), maximum=MAX_STREAM_ID)
    return Create(head.stream_id, head.generate is not False, message)


def ending_of(stream_id: str | None) -> bytes:
    """Return how every message of a lane ends."""
    return b"}" if stream_id is None else b',"stream_id":%b}' % encode(stream_id)


def event_message(frame: bytes, ending: bytes) -> bytes:
    """Return a frame of a stream as a message that ends as those of its lane do."""
    return frame[frame.index(_DATA) + len(_DATA) : -3] + ending


def error_message(error: OnwardError, stream_id: str | None) -> bytes:
    """Return an error that is not part of a response: `{type, status, error: {type, code, message, param}}`."""
    detail = encode(ErrorDetail(error.message, type(error).type, error.param, error.code))
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    if headers:
        detail = b'%b,"headers":%b}' % (detail[:-1], encode(headers))
    return b'{"type":"error","status":%d,"error":%b%b' % (error.http_status, detail, ending_of(stream_id))


def steer_failed(steer: Steer, code: str, why: str, number: int, stream_id: str | None) -> bytes:
    """Return the event that gives the input of a steering attempt back."""
    error = {"type": "invalid_request_error", "code": code, "message": why}
    given = b'{"previous_response_id":%b,"input":%b}' % (encode(steer.previous_response_id), bytes(steer.input))
    return b'{"type":"response.steer.failed","error":%b,"steer":%b,"sequence_number":%d%b' % (
        encode(error),
        given,
        number,
        ending_of(stream_id),
    )
