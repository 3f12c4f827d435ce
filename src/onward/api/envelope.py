"""The outermost layer: authentication, request ids, timing headers, and one place where an error becomes a body.

Written as plain ASGI because it runs for every request and every stream chunk.
"""

import logging
import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onward.api.errors import error_body, error_headers
from onward.api.services import Project, Services
from onward.core.errors import AuthenticationError, InternalError, NotFoundError, OnwardError, RequestError
from onward.core.ids import new_suffix

log = logging.getLogger("onward.http")

CREDENTIALS: Final = frozenset({b"authorization", b"api-key", b"host", b"origin"})
OPEN_PATHS: Final = frozenset({"/health", "/", "/openapi.json"})


class Envelope:
    """Wraps the application; every request under it has a project in its scope."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._projects = services.projects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = b"req_" + new_suffix().encode()
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                elapsed = int((time.perf_counter() - started) * 1000)
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id),
                    (b"openai-processing-ms", str(elapsed).encode()),
                    (b"openai-version", b"2020-10-01"),
                ]
            await send(message)

        try:
            scope["app"] = self
            scope["onward.services"] = self._services
            if scope["path"] not in OPEN_PATHS:
                scope["onward.project"] = await self._authenticate(scope)
            await self._app(scope, receive, send_with_headers)
        except OnwardError as error:
            if begun:
                raise
            await _send_error(error, send_with_headers)
        except HTTPException as error:
            await _send_error(_routing_error(scope, error.status_code), send_with_headers)
        except Exception:
            log.exception("unhandled error on %s %s (%s)", scope["method"], scope["path"], request_id.decode())
            if begun:
                raise
            await _send_error(InternalError(), send_with_headers)

    async def _authenticate(self, scope: Scope) -> Project:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in CREDENTIALS}
        authorization = headers.get(b"authorization")
        key = _bearer(authorization) if authorization is not None else headers.get(b"api-key", "").strip() or None
        return await self._projects.authenticate(key, host=headers.get(b"host", ""), origin=headers.get(b"origin", ""))


def _routing_error(scope: Scope, status: int) -> OnwardError:
    method, path = scope["method"], scope["path"]
    if status == 405:
        return RequestError(f"Not allowed to {method} on {path}.", code="method_not_supported", http_status=405)
    return NotFoundError(f"Invalid URL ({method} {path})")


async def _send_error(error: OnwardError, send: Send) -> None:
    body = error_body(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *error_headers(error),
    ]
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _bearer(value: str) -> str:
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        raise AuthenticationError(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using "
            "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
    return token.strip()
