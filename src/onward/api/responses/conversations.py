"""`/v1/conversations`: eight operations over named logs; beyond OpenAI's, lists and forks."""

from collections.abc import Sequence

from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api import query
from onward.api.body import read_json
from onward.api.metadata import check_metadata
from onward.api.reply import json_reply, list_body
from onward.api.responses.input_items import read_input
from onward.api.responses.intake import check_include
from onward.api.responses.items import item_view, item_views
from onward.api.responses.wire import (
    decode_create_conversation,
    decode_create_items,
    decode_fork_conversation,
    decode_update_conversation,
)
from onward.api.services import project_of
from onward.core.errors import NotFoundError, RequestError
from onward.core.items import Item, encode
from onward.engine.pairs import check_duplicates
from onward.ports.conversations import Conversation

MAX_ITEMS = 20
"""Items of one create or append call."""


def conversation_view(conversation: Conversation) -> bytes:
    """Return a conversation as JSON."""
    return b'{"id":%b,"object":"conversation","created_at":%d,"metadata":%b}' % (
        encode(f"conv_{conversation.suffix}"),
        int(conversation.created_at),
        conversation.metadata,
    )


async def _read_items(request: Request, raw: Sequence[Raw]) -> list[Item]:
    if len(raw) > MAX_ITEMS:
        raise RequestError(
            f"Invalid 'items': array too long. Expected an array with maximum length {MAX_ITEMS}, "
            f"but got an array with length {len(raw)} instead.",
            param="items",
            code="array_above_max_length",
        )
    items: list[Item] = []
    for item in read_input(raw, param="items").items:
        if isinstance(item, Item):
            items.append(item)
            continue
        found = await project_of(request).runs.item(item)
        if found is None:
            raise NotFoundError(f"Item with id '{item}' not found.", param="items")
        items.append(found)
    check_duplicates(items)
    return items


async def create(request: Request) -> Response:
    """`POST /v1/conversations`."""
    body = await read_json(request, decode_create_conversation)
    metadata = check_metadata(body.metadata)
    items = await _read_items(request, body.items or ())
    return json_reply(conversation_view(await project_of(request).conversations.create(metadata=metadata, items=items)))


async def list_conversations(request: Request) -> Response:
    """`GET /v1/conversations`: newest first, those with all pairs of `metadata[key]=value`. An extension."""
    page = query.page(request.query_params)
    wanted = query.pairs(request.query_params, "metadata")
    check_metadata({**wanted})
    found = await project_of(request).conversations.find(page, metadata=wanted)
    views = [conversation_view(conversation) for conversation in found.conversations]
    ids = [f"conv_{conversation.suffix}" for conversation in found.conversations]
    return json_reply(list_body(views, ids, has_more=found.has_more))


async def fork(request: Request) -> Response:
    """`POST /v1/conversations/{conversation_id}/fork`: a new conversation that begins as this one. An extension."""
    body = await read_json(request, decode_fork_conversation)
    metadata = None if body.metadata is None else check_metadata(body.metadata)
    conversations = project_of(request).conversations
    made = await conversations.fork(request.path_params["conversation_id"], up_to=body.up_to, metadata=metadata)
    return json_reply(conversation_view(made))


async def retrieve(request: Request) -> Response:
    """`GET /v1/conversations/{conversation_id}`."""
    return json_reply(
        conversation_view(await project_of(request).conversations.get(request.path_params["conversation_id"]))
    )


async def update(request: Request) -> Response:
    """`POST /v1/conversations/{conversation_id}`."""
    body = await read_json(request, decode_update_conversation)
    conversations = project_of(request).conversations
    metadata = check_metadata(body.metadata)
    return json_reply(
        conversation_view(await conversations.update(request.path_params["conversation_id"], metadata=metadata))
    )


async def delete(request: Request) -> Response:
    """`DELETE /v1/conversations/{conversation_id}`."""
    conversation_id = request.path_params["conversation_id"]
    await project_of(request).conversations.delete(conversation_id)
    return json_reply({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


async def list_items(request: Request) -> Response:
    """`GET /v1/conversations/{conversation_id}/items`."""
    include = check_include(query.array(request.query_params, "include"))
    page = query.page(request.query_params)
    found = await project_of(request).conversations.page(request.path_params["conversation_id"], page)
    views = item_views(found.items, include)
    return json_reply(list_body(views, [item.id for item in found.items], has_more=found.has_more))


async def create_items(request: Request) -> Response:
    """`POST /v1/conversations/{conversation_id}/items`: the items created, as a list."""
    include = check_include(query.array(request.query_params, "include"))
    body = await read_json(request, decode_create_items)
    if not body.items:
        raise RequestError(
            "Invalid 'items': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="items",
            code="empty_array",
        )
    items = await _read_items(request, body.items)
    await project_of(request).conversations.append(request.path_params["conversation_id"], items)
    return json_reply(list_body(item_views(items, include), [item.id for item in items], has_more=False))


async def retrieve_item(request: Request) -> Response:
    """`GET /v1/conversations/{conversation_id}/items/{item_id}`."""
    include = check_include(query.array(request.query_params, "include"))
    path = request.path_params
    item = await project_of(request).conversations.item(path["conversation_id"], path["item_id"])
    return json_reply(item_view(item, include))


async def delete_item(request: Request) -> Response:
    """`DELETE /v1/conversations/{conversation_id}/items/{item_id}`: answers with the conversation."""
    path = request.path_params
    return json_reply(
        conversation_view(await project_of(request).conversations.remove(path["conversation_id"], path["item_id"]))
    )


_ONE = "/v1/conversations/{conversation_id}"

routes: list[BaseRoute] = [
    Route("/v1/conversations", create, methods=["POST"]),
    Route("/v1/conversations", list_conversations, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/fork", fork, methods=["POST"]),
    Route(f"{_ONE}/items", list_items, methods=["GET"]),
    Route(f"{_ONE}/items", create_items, methods=["POST"]),
    Route(f"{_ONE}/items/{{item_id}}", retrieve_item, methods=["GET"]),
    Route(f"{_ONE}/items/{{item_id}}", delete_item, methods=["DELETE"]),
]
