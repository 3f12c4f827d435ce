"""`/v1/models`: the list shows what is configured; a single name is there as soon as requests for it are served."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.reply import json_reply
from onward.api.services import services_of
from onward.core.errors import NotFoundError, RequestError
from onward.ports.model import Models

CREATED = 1_763_769_600
"""A model's `created`: upstreams do not tell it, and clients only need it to stay the same (2025-11-22)."""


def _view(name: str, served_by: str | None) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "onward", "served_by": served_by}


async def _server_of(models: Models, name: str) -> str | None:
    """Return the name of the model that serves `name`, None where a request for it would be refused."""
    try:
        return (await models.resolve(name)).name
    except RequestError:
        return None


async def list_models(request: Request) -> Response:
    """List the models."""
    models = services_of(request).models
    data = [_view(name, await _server_of(models, name)) for name in await models.names()]
    return json_reply({"object": "list", "data": data})


async def retrieve(request: Request) -> Response:
    """Return a model for every name that a request would be served under; `served_by` says by what. No name: all."""
    name = request.path_params["model"]
    if not name:
        return await list_models(request)
    served_by = await _server_of(services_of(request).models, name)
    if served_by is None:
        raise NotFoundError(f"The model '{name[:200]}' does not exist", param="model", code="model_not_found")
    return json_reply(_view(name, served_by))


routes: list[BaseRoute] = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", retrieve, methods=["GET"]),
]
