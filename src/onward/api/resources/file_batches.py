"""`/v1/vector_stores/{id}/file_batches`: create, retrieve, list files, cancel."""

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.body import read_json
from onward.api.errors import missing_parameter, too_long
from onward.api.query import page
from onward.api.reply import json_reply
from onward.api.resources.store_views import batch_view, poll_headers
from onward.api.resources.strategies import Strategy, check_attributes, recipe_of
from onward.api.resources.vector_store_files import AttachFile, files_body, status_filter
from onward.api.services import project_of
from onward.core.errors import RequestError
from onward.ports.vector_stores import MAX_BATCH_FILES, Attach, FileBatch


class CreateBatch(Struct, frozen=True):
    """The body of a create request: `file_ids` with shared settings, or `files` with their own."""

    file_ids: list[str] | None = None
    files: list[AttachFile] | None = None
    attributes: dict[str, object] | None = None
    chunking_strategy: Strategy | None = None


_create = msgspec.json.Decoder(CreateBatch)


def _attachments(body: CreateBatch) -> list[Attach]:
    if body.file_ids is not None and body.files is not None:
        raise RequestError("'file_ids' and 'files' are mutually exclusive. Send one of them.", param="files")
    if body.files is not None:
        attached = [
            Attach(
                file_id=file.file_id,
                attributes=check_attributes(file.attributes, param=f"files[{index}].attributes"),
                recipe=recipe_of(file.chunking_strategy, param=f"files[{index}].chunking_strategy"),
            )
            for index, file in enumerate(body.files[: MAX_BATCH_FILES + 1])
        ]
        name = "files"
    elif body.file_ids is not None:
        attributes, recipe = check_attributes(body.attributes), recipe_of(body.chunking_strategy)
        attached = [Attach(file_id=file_id, attributes=attributes, recipe=recipe) for file_id in body.file_ids]
        name = "file_ids"
    else:
        raise missing_parameter("file_ids")
    if len(attached) > MAX_BATCH_FILES:
        raise too_long(name, len(body.files or attached), maximum=MAX_BATCH_FILES, kind="array")
    if not attached:
        raise RequestError(f"Invalid '{name}': empty array. Expected at least one file.", param=name)
    return list({file.file_id: file for file in attached}.values())


def _reply(batch: FileBatch) -> Response:
    return json_reply(batch_view(batch), headers=poll_headers(batch.counts.in_progress))


async def create(request: Request) -> Response:
    """Attach files together."""
    files = _attachments(await read_json(request, _create))
    return _reply(await project_of(request).vector_stores.attach_batch(request.path_params["store_id"], files))


async def retrieve(request: Request) -> Response:
    """Return a batch with its counts as they are now."""
    path = request.path_params
    return _reply(await project_of(request).vector_stores.batch(path["store_id"], path["batch_id"]))


async def list_files(request: Request) -> Response:
    """List the files of a batch."""
    path = request.path_params
    found = await project_of(request).vector_stores.files(
        path["store_id"],
        page(request.query_params),
        status=status_filter(request.query_params),
        batch_id=path["batch_id"],
    )
    return json_reply(files_body(found))


async def cancel(request: Request) -> Response:
    """Cancel what of a batch is not ingested yet."""
    path = request.path_params
    return _reply(await project_of(request).vector_stores.cancel_batch(path["store_id"], path["batch_id"]))


routes: list[BaseRoute] = [
    Route("/v1/vector_stores/{store_id}/file_batches", create, methods=["POST"]),
    Route("/v1/vector_stores/{store_id}/file_batches/{batch_id}", retrieve, methods=["GET"]),
    Route("/v1/vector_stores/{store_id}/file_batches/{batch_id}/files", list_files, methods=["GET"]),
    Route("/v1/vector_stores/{store_id}/file_batches/{batch_id}/cancel", cancel, methods=["POST"]),
]
