"""The ASGI application: every dialect's and resource's routes under one envelope."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from onward.api.envelope import Envelope
from onward.api.idempotency import idempotent
from onward.api.reply import json_reply
from onward.api.services import Services

CREATING: Final = (
    "/conversations",
    "/items",
    "/files",
    "/vector_stores",
    "/file_batches",
    "/prompts",
    "/fork",
    "/versions",
)
"""Ends of paths whose POST makes an object."""


class _Endpoint:
    """Calls a handler and sends its reply. Errors are the envelope's: Starlette's own layers for them are left out."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self._handler(Request(scope, receive, send))
        await reply(scope, receive, send)


class _NoSocket:
    """Refuses WebSockets at paths that have none."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(404)


async def health(_request: Request) -> Response:
    """Answer 200 once the server can serve."""
    return json_reply(b'{"status":"ok"}')


def _openapi(routes: Sequence[BaseRoute]) -> Callable[[Request], Awaitable[Response]]:
    async def openapi(_request: Request) -> Response:
        """Answer with the OpenAPI document of this server."""
        from onward.api.openapi import describe

        return json_reply(describe(routes))

    return openapi


def _creates(route: Route) -> bool:
    """Tell whether a route makes objects; responses see to their keys themselves."""
    return "POST" in (route.methods or ()) and route.path.endswith(CREATING)


def build_app(services: Services, routes: Sequence[BaseRoute]) -> ASGIApp:
    """Return the application that serves `routes`, with `/health` and `/openapi.json`."""
    own = [Route("/health", health), Route("/openapi.json", _openapi(routes))]
    served = [*routes, *own]
    for route in served:
        if isinstance(route, Route):
            route.app = _Endpoint(idempotent(route.endpoint) if _creates(route) else route.endpoint)
    router = Router([*served, WebSocketRoute("/{path:path}", _NoSocket())], redirect_slashes=False)
    return Envelope(router, services)
