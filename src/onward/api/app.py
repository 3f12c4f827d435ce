"""The ASGI application: every dialect's and resource's routes under one envelope."""

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


def build_app(services: Services, routes: list[BaseRoute]) -> ASGIApp:
    """Return the application that serves `routes`, `/health` included."""
    router = Router([*routes, Route("/health", health)], redirect_slashes=False)
    return Envelope(router, services)
