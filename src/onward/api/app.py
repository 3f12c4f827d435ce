"""The ASGI application: every dialect's and resource's routes under one envelope."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from onward.api.envelope import Envelope
from onward.api.reply import json_reply
from onward.api.services import Services


async def health(_request: Request) -> Response:
    """Answer 200 once the server can serve."""
    return json_reply(b'{"status":"ok"}')


def _openapi(routes: Sequence[BaseRoute]) -> Callable[[Request], Awaitable[Response]]:
    async def openapi(_request: Request) -> Response:
        """Answer with the OpenAPI document of this server."""
        from onward.api.openapi import describe

        return json_reply(describe(routes))

    return openapi


def build_app(services: Services, routes: Sequence[BaseRoute]) -> ASGIApp:
    """Return the application that serves `routes`, with `/health` and `/openapi.json`."""
    own = [Route("/health", health), Route("/openapi.json", _openapi(routes))]
    return Envelope(Router([*routes, *own], redirect_slashes=False), services)
