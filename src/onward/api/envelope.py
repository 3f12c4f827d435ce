"""The outermost layer: authentication, request ids, timing headers, and one place where an error becomes a body.

Written as plain ASGI because it runs for every request and every stream chunk.
"""

import asyncio
import logging
import time
from errno import ENOSPC
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onward.api.errors import error_body, error_headers
from onward.api.handshake import Handshake
from onward.api.services import Project, Services
from onward.core.errors import (
    AuthenticationError,
    InternalError,
    NotFoundError,
    OnwardError,
    RequestError,
    StorageFull,
    UpstreamUnavailable,
)
from onward.core.ids import new_suffix

log = logging.getLogger("onward.http")

CREDENTIALS: Final = frozenset({b"authorization", b"api-key", b"host", b"origin"})
NOT_YET: Final = (
    "/v1/assistants",
    "/v1/audio",
    "/v1/batches",
    "/v1/completions",
    "/v1/containers",
    "/v1/images",
    "/v1/moderations",
    "/v1/responses/compact",
    "/v1/skills",
    "/v1/threads",
    "/v1/uploads",
    "/v1/webhook",
)
"""Endpoints of OpenAI's that this server does not have: a clear answer, because a 404 alone reads like a wrong URL."""

OPEN_PATHS: Final = frozenset({"/health", "/", "/openapi.json"})


class _Reply:
    """A `send` that adds the headers of every answer and knows whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self.request_id = b"req_" + new_suffix().encode()
        self.begun = False
        self._send = send
        self._started = time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            elapsed = int((time.perf_counter() - self._started) * 1000)
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id),
                (b"openai-processing-ms", str(elapsed).encode()),
                (b"openai-version", b"2020-10-01"),
            ]
        await self._send(message)

    async def fail(self, error: OnwardError) -> None:
        """Answer with an error. Called while one is handled: raises that again where the answer has begun."""
        if self.begun:
            raise
        body = error_body(error)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *error_headers(error),
        ]
        await self({"type": "http.response.start", "status": error.http_status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


class Envelope:
    """Wraps the application; every request under it has a project in its scope."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._projects = services.projects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._connect(scope, receive, send)
            return
        reply = _Reply(send)
        try:
            await self._serve(scope, receive, reply)
        except OnwardError as error:
            await reply.fail(error)
        except HTTPException as error:
            await reply.fail(_routing_error(scope, error.status_code))
        except asyncio.CancelledError:
            # Only a server that shuts down gets here. What it ran has been ended; the client may try again.
            # A stream that has begun breaks off: its client must not take it for a whole one.
            if not reply.begun:
                await reply.fail(UpstreamUnavailable("The server is shutting down.", retry_after=1))
        except Exception as error:
            if isinstance(error, OSError) and error.errno == ENOSPC:
                await reply.fail(StorageFull())
                return
            log.exception("unhandled error on %s %s (%s)", scope["method"], scope["path"], reply.request_id.decode())
            await reply.fail(InternalError())

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket: what it may do is decided before it is accepted, as for any request."""
        handshake = Handshake(scope, send)
        try:
            await self._serve(scope, receive, handshake)
        except OnwardError as error:
            await handshake.refuse(error)
        except HTTPException as error:
            await handshake.refuse(_routing_error(scope, error.status_code))
        except asyncio.CancelledError:
            pass  # only a server that shuts down gets here: it has closed the socket
        except Exception:
            log.exception("unhandled error on a socket at %s (%s)", scope["path"], handshake.request_id.decode())
            await handshake.refuse(InternalError())

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        scope["onward.services"] = self._services
        if scope["path"] not in OPEN_PATHS:
            scope["onward.project"] = await self._authenticate(scope)
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Project:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in CREDENTIALS}
        authorization = headers.get(b"authorization")
        key = _bearer(authorization) if authorization is not None else headers.get(b"api-key", "").strip() or None
        return await self._projects.authenticate(key, host=headers.get(b"host", ""), origin=headers.get(b"origin", ""))


def _routing_error(scope: Scope, status: int) -> OnwardError:
    method, path = scope.get("method", "WebSocket"), scope["path"]
    if path.startswith(NOT_YET):
        return NotFoundError(f"'{path}' is not supported by this version of Onward.", code="unsupported_endpoint")
    if status == 405:
        return RequestError(f"Not allowed to {method} on {path}.", code="method_not_supported", http_status=405)
    return NotFoundError(f"Invalid URL ({method} {path})")


def _bearer(value: str) -> str:
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        raise AuthenticationError(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using "
            "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
    return token.strip()
