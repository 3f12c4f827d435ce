"""Stored chat completions: list, retrieve, update, delete, and the messages that one was given."""

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api import query
from onward.api.body import read_json
from onward.api.chat.transcript import read_messages
from onward.api.chat.view import PREFIX, completion_id, render_stored
from onward.api.chat.wire import decode_update
from onward.api.metadata import MAX_PAIRS, check_metadata
from onward.api.reply import json_reply, list_body
from onward.api.services import project_of
from onward.core.errors import NotFoundError, RequestError
from onward.core.items import encode
from onward.ports.completions import StoredCompletion
from onward.ports.runs import Page


def _suffix(public_id: str) -> str:
    """Return what the runs of a public id are named by; an id of another kind names none."""
    return public_id[len(PREFIX) :] if public_id.startswith(PREFIX) else ""


def _not_found(public_id: str) -> NotFoundError:
    return NotFoundError(f"Chat completion with id '{public_id[:200]}' not found.", param="completion_id")


async def _stored(request: Request) -> StoredCompletion:
    public_id = request.path_params["completion_id"]
    suffix = _suffix(public_id)
    found = await project_of(request).completions.get(suffix) if suffix else None
    if found is None:
        raise _not_found(public_id)
    return found


def _labels(params: QueryParams) -> dict[str, str]:
    """Return the pairs of `metadata[key]=value`."""
    labels = {
        name[9:-1]: value for name, value in params.multi_items() if name.startswith("metadata[") and name[-1] == "]"
    }
    if len(labels) > MAX_PAIRS:
        raise RequestError(f"Invalid 'metadata': at most {MAX_PAIRS} pairs can be asked for.", param="metadata")
    return labels


async def list_completions(request: Request) -> Response:
    """`GET /v1/chat/completions`: oldest first, unless asked otherwise."""
    params = request.query_params
    page = query.page(params, order="asc")
    if page.after is not None:
        page = Page(limit=page.limit, order=page.order, after=_suffix(page.after) or page.after)
    completions = project_of(request).completions
    found = await completions.page(page, model=params.get("model") or None, metadata=_labels(params))
    views = [render_stored(one) for one in found.completions]
    ids = [completion_id(one.run.suffix) for one in found.completions]
    return json_reply(list_body(views, ids, has_more=found.has_more))


async def retrieve(request: Request) -> Response:
    """`GET /v1/chat/completions/{completion_id}`."""
    return json_reply(render_stored(await _stored(request)))


async def update(request: Request) -> Response:
    """`POST /v1/chat/completions/{completion_id}`: replaces the metadata."""
    body = await read_json(request, decode_update)
    public_id = request.path_params["completion_id"]
    metadata = check_metadata(body.metadata)
    suffix = _suffix(public_id)
    found = await project_of(request).completions.update(suffix, metadata=metadata) if suffix else None
    if found is None:
        raise _not_found(public_id)
    return json_reply(render_stored(found))


async def delete(request: Request) -> Response:
    """`DELETE /v1/chat/completions/{completion_id}`: histories that build on it keep its messages."""
    public_id = request.path_params["completion_id"]
    suffix = _suffix(public_id)
    if not suffix or not await project_of(request).completions.delete(suffix):
        raise _not_found(public_id)
    return json_reply({"id": public_id, "object": "chat.completion.deleted", "deleted": True})


async def list_messages(request: Request) -> Response:
    """`GET /v1/chat/completions/{completion_id}/messages`: what the completion was given, oldest first."""
    page = query.page(request.query_params, order="asc")
    stored = await _stored(request)
    page = Page(limit=page.limit, order=page.order, after=page.after)
    found = await read_messages(project_of(request).runs, stored.run, page)
    ids = [str(message["id"]) for message in found.messages]
    return json_reply(list_body([encode(message) for message in found.messages], ids, has_more=found.has_more))


_ONE = "/v1/chat/completions/{completion_id}"

routes: list[BaseRoute] = [
    Route("/v1/chat/completions", list_completions, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/messages", list_messages, methods=["GET"]),
]
