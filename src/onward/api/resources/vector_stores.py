"""`/v1/vector_stores`: create, list, retrieve, update, delete."""

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.body import read_json
from onward.api.errors import too_long
from onward.api.metadata import Metadata, check_metadata
from onward.api.query import page
from onward.api.reply import json_reply, list_body
from onward.api.resources.store_views import encode, poll_headers, store_view
from onward.api.resources.strategies import ExpiresAfter, Strategy, days_of, recipe_of
from onward.api.services import project_of
from onward.ports.vector_stores import MAX_CREATE_FILES, Attach, NewStore, StoreChange, VectorStore

MAX_NAME = 256
MAX_DESCRIPTION = 4096


class CreateStore(Struct, frozen=True):
    """The body of a create request."""

    name: str | None = None
    description: str | None = None
    file_ids: list[str] | None = None
    metadata: Metadata = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: Strategy | None = None


class UpdateStore(Struct, frozen=True):
    """The body of an update request: what is absent stays, null clears."""

    name: str | None = None
    description: str | None = None
    metadata: Metadata | UnsetType = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET


_create = msgspec.json.Decoder(CreateStore)
_update = msgspec.json.Decoder(UpdateStore)


def _check_words(name: str | None, description: str | None) -> None:
    if name is not None and len(name) > MAX_NAME:
        raise too_long("name", len(name), maximum=MAX_NAME)
    if description is not None and len(description) > MAX_DESCRIPTION:
        raise too_long("description", len(description), maximum=MAX_DESCRIPTION)


def _reply(store: VectorStore) -> Response:
    return json_reply(store_view(store), headers=poll_headers(store.counts.in_progress))


async def create(request: Request) -> Response:
    """Create a store, with files or without."""
    body = await read_json(request, _create)
    _check_words(body.name, body.description)
    new = NewStore(
        name=body.name or "",
        description=body.description,
        metadata=check_metadata(body.metadata),
        expires_days=None if body.expires_after is None else days_of(body.expires_after),
    )
    recipe = recipe_of(body.chunking_strategy)
    given = body.file_ids or ()
    if len(given) > MAX_CREATE_FILES:
        raise too_long("file_ids", len(given), maximum=MAX_CREATE_FILES, kind="array")
    file_ids = list(dict.fromkeys(given))
    files = [Attach(file_id=file_id, recipe=recipe) for file_id in file_ids]
    return _reply(await project_of(request).vector_stores.create(new, files))


async def list_stores(request: Request) -> Response:
    """List stores, newest first."""
    found = await project_of(request).vector_stores.page(page(request.query_params))
    ids = [store.id for store in found.stores]
    return json_reply(list_body([encode(store_view(store)) for store in found.stores], ids, has_more=found.has_more))


async def retrieve(request: Request) -> Response:
    """Return one store with its counts as they are now."""
    return _reply(await project_of(request).vector_stores.get(request.path_params["store_id"]))


async def update(request: Request) -> Response:
    """Change a store's name, metadata or expiry."""
    body = await read_json(request, _update)
    _check_words(body.name, body.description)
    expiry = body.expires_after
    days = None if isinstance(expiry, UnsetType) else 0 if expiry is None else days_of(expiry)
    change = StoreChange(
        name=body.name,
        description=body.description,
        metadata=None if isinstance(body.metadata, UnsetType) else check_metadata(body.metadata),
        expires_days=days,
    )
    return _reply(await project_of(request).vector_stores.update(request.path_params["store_id"], change))


async def delete(request: Request) -> Response:
    """Delete a store; its files stay."""
    store_id = request.path_params["store_id"]
    await project_of(request).vector_stores.delete(store_id)
    return json_reply({"id": store_id, "object": "vector_store.deleted", "deleted": True})


routes: list[BaseRoute] = [
    Route("/v1/vector_stores", create, methods=["POST"]),
    Route("/v1/vector_stores", list_stores, methods=["GET"]),
    Route("/v1/vector_stores/{store_id}", retrieve, methods=["GET"]),
    Route("/v1/vector_stores/{store_id}", update, methods=["POST"]),
    Route("/v1/vector_stores/{store_id}", delete, methods=["DELETE"]),
]
