"""`/v1/vector_stores/{id}/files`: attach, list, retrieve, update, detach, content."""

from typing import Final, cast, get_args

import msgspec
from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.body import read_json
from onward.api.errors import invalid_value
from onward.api.query import page
from onward.api.reply import json_reply, list_body
from onward.api.resources.store_views import encode, file_view, poll_headers
from onward.api.resources.strategies import Strategy, check_attributes, recipe_of
from onward.api.services import project_of
from onward.ports.vector_stores import Attach, LinkStatus, StoreFile, StoreFilePage

STATUSES: Final[tuple[str, ...]] = get_args(LinkStatus)


class AttachFile(Struct, frozen=True):
    """The body of an attach request."""

    file_id: str
    attributes: dict[str, object] | None = None
    chunking_strategy: Strategy | None = None


class UpdateFile(Struct, frozen=True):
    """The body of an update request. Null clears the attributes."""

    attributes: dict[str, object] | None


_attach = msgspec.json.Decoder(AttachFile)
_update = msgspec.json.Decoder(UpdateFile)


def status_filter(query: QueryParams) -> LinkStatus | None:
    """Return the status that a list asks for. Raises RequestError."""
    wanted = query.get("filter") or None
    if wanted is not None and wanted not in STATUSES:
        raise invalid_value("filter", wanted, STATUSES)
    return cast("LinkStatus | None", wanted)


def files_body(found: StoreFilePage) -> bytes:
    """Return a page of store files as JSON."""
    ids = [file.file_id for file in found.files]
    return list_body([encode(file_view(file)) for file in found.files], ids, has_more=found.has_more)


def _reply(file: StoreFile) -> Response:
    return json_reply(file_view(file), headers=poll_headers(int(file.status == "in_progress")))


async def attach(request: Request) -> Response:
    """Attach a file; it is ingested in the background."""
    body = await read_json(request, _attach)
    file = Attach(
        file_id=body.file_id,
        attributes=check_attributes(body.attributes),
        recipe=recipe_of(body.chunking_strategy),
    )
    return _reply(await project_of(request).vector_stores.attach(request.path_params["store_id"], file))


async def list_files(request: Request) -> Response:
    """List the files of a store, newest first."""
    found = await project_of(request).vector_stores.files(
        request.path_params["store_id"], page(request.query_params), status=status_filter(request.query_params)
    )
    return json_reply(files_body(found))


async def retrieve(request: Request) -> Response:
    """Return one file of a store."""
    path = request.path_params
    return _reply(await project_of(request).vector_stores.file(path["store_id"], path["file_id"]))


async def update(request: Request) -> Response:
    """Replace the attributes of a file in a store."""
    body = await read_json(request, _update)
    path = request.path_params
    attributes = check_attributes(body.attributes)
    stores = project_of(request).vector_stores
    return _reply(await stores.set_attributes(path["store_id"], path["file_id"], attributes))


async def detach(request: Request) -> Response:
    """Take a file out of a store; the file stays."""
    path = request.path_params
    await project_of(request).vector_stores.detach(path["store_id"], path["file_id"])
    return json_reply({"id": path["file_id"], "object": "vector_store.file.deleted", "deleted": True})


async def content(request: Request) -> Response:
    """Return the parsed text of a file in a store."""
    path = request.path_params
    pieces = await project_of(request).vector_stores.text(path["store_id"], path["file_id"])
    data = [{"type": "text", "text": piece} for piece in pieces]
    body = {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}
    return json_reply(body)


routes: list[BaseRoute] = [
    Route("/v1/vector_stores/{store_id}/files", attach, methods=["POST"]),
    Route("/v1/vector_stores/{store_id}/files", list_files, methods=["GET"]),
    Route("/v1/vector_stores/{store_id}/files/{file_id}", retrieve, methods=["GET"]),
    Route("/v1/vector_stores/{store_id}/files/{file_id}", update, methods=["POST"]),
    Route("/v1/vector_stores/{store_id}/files/{file_id}", detach, methods=["DELETE"]),
    Route("/v1/vector_stores/{store_id}/files/{file_id}/content", content, methods=["GET"]),
]
