"""`/v1/models`: the names that this server answers to."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.reply import json_reply
from onward.api.services import services_of
from onward.core.errors import NotFoundError

CREATED = 1_763_769_600
"""A model's `created`: upstreams do not tell it, and clients only need it to stay the same (2025-11-22)."""


def _view(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "onward"}


async def list_models(request: Request) -> Response:
    """List the models."""
    names = await services_of(request).models.names()
    return json_reply({"object": "list", "data": [_view(name) for name in names]})


async def retrieve(request: Request) -> Response:
    """Return one model."""
    name = request.path_params["model"]
    if name not in await services_of(request).models.names():
        raise NotFoundError(f"The model '{name[:200]}' does not exist", param="model", code="model_not_found")
    return json_reply(_view(name))


routes: list[BaseRoute] = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", retrieve, methods=["GET"]),
]
