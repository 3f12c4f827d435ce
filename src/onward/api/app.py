"""The ASGI application: every dialect's and resource's routes under one envelope."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from onward.api.envelope import Envelope
from onward.api.errors import error_body
from onward.api.reply import json_reply
from onward.api.services import Services
from onward.core.errors import NotFoundError, RequestError


async def health(_request: Request) -> Response:
    """Answer 200 once the server can serve."""
    return json_reply(b'{"status":"ok"}')


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 405:
        refused = RequestError(
            f"Not allowed to {request.method} on {request.url.path}.", code="method_not_supported", http_status=405
        )
        return json_reply(error_body(refused), status=405)
    if status == 404:
        missing = NotFoundError(f"Invalid URL ({request.method} {request.url.path})")
        return json_reply(error_body(missing), status=404)
    detail = error.detail if isinstance(error, HTTPException) else "The request is invalid."
    return json_reply(error_body(RequestError(detail, http_status=status)), status=status)


def build_app(services: Services, routes: list[BaseRoute]) -> ASGIApp:
    """Return the application that serves `routes`, `/health` included."""
    app = Starlette(routes=[Route("/health", health), *routes], exception_handlers={HTTPException: _no_route})
    app.router.redirect_slashes = False
    app.state.services = services
    return Envelope(app, services.projects)
