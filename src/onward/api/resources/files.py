"""`/v1/files`: upload, list, retrieve, delete, content."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from onward.api.query import page
from onward.api.reply import json_reply, list_body
from onward.api.resources.uploads import receive_file
from onward.api.services import project_of
from onward.core.errors import NotFoundError
from onward.ports.files import File

MAX_PAGE = 10_000

_encode = msgspec.json.Encoder().encode


class FileView(msgspec.Struct, frozen=True):
    """A file as clients see it."""

    id: str
    object: str
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: str | None


def view(file: File) -> FileView:
    """Return the wire form of a file."""
    return FileView(
        id=file.id,
        object="file",
        bytes=file.size,
        created_at=int(file.created_at),
        expires_at=None if file.expires_at is None else int(file.expires_at),
        filename=file.filename,
        purpose=file.purpose,
        status=file.status,
        status_details=file.status_details,
    )


async def create(request: Request) -> Response:
    """Store an uploaded file."""
    return json_reply(view(await receive_file(request, project_of(request).files)))


async def list_files(request: Request) -> Response:
    """List files, newest first, up to 10,000 at once."""
    wanted = page(request.query_params, limit=MAX_PAGE, maximum=MAX_PAGE)
    purpose = request.query_params.get("purpose") or None
    found = await project_of(request).files.page(wanted, purpose=purpose)
    ids = [file.id for file in found.files]
    return json_reply(list_body([_encode(view(file)) for file in found.files], ids, has_more=found.has_more))


async def retrieve(request: Request) -> Response:
    """Return one file."""
    return json_reply(view(await project_of(request).files.get(request.path_params["file_id"])))


async def delete(request: Request) -> Response:
    """Delete a file and take it out of every vector store."""
    file_id = request.path_params["file_id"]
    await project_of(request).files.delete(file_id)
    return json_reply({"id": file_id, "object": "file", "deleted": True})


async def content(request: Request) -> Response:
    """Stream the bytes of a file from disk."""
    files = project_of(request).files
    file = await files.get(request.path_params["file_id"])
    chunks = files.read(file)
    try:
        first = await anext(chunks)
    except FileNotFoundError as error:
        raise NotFoundError(f"The content of file {file.id} is gone.", param="id") from error
    headers = {
        "content-length": str(file.size),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
    }
    return StreamingResponse(_chained(first, chunks), media_type="application/octet-stream", headers=headers)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


routes: list[BaseRoute] = [
    Route("/v1/files", create, methods=["POST"]),
    Route("/v1/files", list_files, methods=["GET"]),
    Route("/v1/files/{file_id}", retrieve, methods=["GET"]),
    Route("/v1/files/{file_id}", delete, methods=["DELETE"]),
    Route("/v1/files/{file_id}/content", content, methods=["GET"]),
]
