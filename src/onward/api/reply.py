"""Replies that are JSON: bytes in, one ASGI response out, and the list envelope that every page shares."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode


class JsonReply(Response):
    """A JSON response whose headers are made as bytes."""

    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
        ]


def json_reply(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response; `bytes` are taken as encoded already."""
    return JsonReply(body if isinstance(body, bytes) else _encode(body), status, headers or {})


def list_body(elements: Sequence[bytes], ids: Sequence[str], *, has_more: bool) -> bytes:
    """Return the cursor page `{object, data, first_id, last_id, has_more}` around encoded elements."""
    first = _encode(ids[0]) if ids else b"null"
    last = _encode(ids[-1]) if ids else b"null"
    more = b"true" if has_more else b"false"
    return b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}' % (
        b",".join(elements),
        first,
        last,
        more,
    )
