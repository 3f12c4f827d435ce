"""Replies that are JSON: bytes in, one ASGI response out, and the list envelope that every page shares."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode


def json_reply(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response; `bytes` are taken as encoded already."""
    content = body if isinstance(body, bytes) else _encode(body)
    return Response(content, status_code=status, media_type="application/json", headers=headers)


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
