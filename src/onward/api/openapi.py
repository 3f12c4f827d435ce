"""The OpenAPI document of this server, made from its routes and from the structs that decode its requests."""

import re
from collections.abc import Callable, Mapping, Sequence
from inspect import unwrap
from typing import Any, Final

import msgspec
from starlette.routing import BaseRoute, Route

from onward import __version__
from onward.api.chat import routes as chat
from onward.api.chat import stored as chat_stored
from onward.api.chat import wire as chat_wire
from onward.api.resources import (
    embeddings,
    file_batches,
    files,
    prompts,
    search,
    vector_store_files,
    vector_stores,
)
from onward.api.responses import conversation_files, conversations, input_tokens, intake, wire
from onward.api.responses import routes as responses

Schema = dict[str, Any]

BODIES: Final[Mapping[Callable[..., object], type[msgspec.Struct]]] = {
    responses.create: wire.CreateResponse,
    chat.create: chat_wire.CreateCompletion,
    chat_stored.update: chat_wire.UpdateCompletion,
    input_tokens.count: wire.CreateResponse,
    conversations.create: wire.CreateConversation,
    conversations.update: wire.UpdateConversation,
    conversations.create_items: wire.CreateItems,
    conversations.fork: wire.ForkConversation,
    embeddings.create: embeddings.Embeddings,
    file_batches.create: file_batches.CreateBatch,
    prompts.create: prompts.CreatePrompt,
    prompts.update: prompts.UpdatePrompt,
    prompts.create_version: prompts.CreateVersion,
    search.search: search.Search,
    vector_store_files.attach: vector_store_files.AttachFile,
    vector_store_files.update: vector_store_files.UpdateFile,
    vector_stores.create: vector_stores.CreateStore,
    vector_stores.update: vector_stores.UpdateStore,
}
"""Handler → the struct that decodes its JSON body."""

_UPLOAD: Final[Schema] = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]},
    },
}

_STRING: Final[Schema] = {"type": "string"}


def _page(limit: int = 100) -> dict[str, Schema]:
    """Return the parameters of a list whose pages have at most `limit` elements."""
    return {
        "limit": {"type": "integer", "minimum": 1, "maximum": limit},
        "order": {"type": "string", "enum": ["asc", "desc"]},
        "after": _STRING,
        "before": _STRING,
    }


_INCLUDE: Final[dict[str, Schema]] = {
    "include[]": {"type": "array", "items": {"type": "string", "enum": list(intake.INCLUDABLE)}}
}
_STATUS: Final[dict[str, Schema]] = {"filter": {"type": "string", "enum": list(vector_store_files.STATUSES)}}

QUERIES: Final[Mapping[Callable[..., object], Mapping[str, Schema]]] = {
    responses.retrieve: _INCLUDE,
    responses.input_items: {**_page(), **_INCLUDE},
    conversations.list_conversations: {**_page(), "metadata[key]": _STRING},
    conversations.list_items: {**_page(), **_INCLUDE},
    conversation_files.import_conversation: {"new_id": {"type": "boolean"}},
    conversations.create_items: _INCLUDE,
    conversations.retrieve_item: _INCLUDE,
    file_batches.list_files: {**_page(), **_STATUS},
    files.list_files: {**_page(files.MAX_PAGE), "purpose": _STRING},
    prompts.list_prompts: _page(),
    prompts.list_versions: _page(),
    vector_store_files.list_files: {**_page(), **_STATUS},
    vector_stores.list_stores: _page(),
    chat_stored.list_completions: {**_page(), "model": _STRING},
    chat_stored.list_messages: _page(),
}
"""Handler → its query parameters."""

_JSON: Final = ("application/json",)
CONTENT: Final[Mapping[Callable[..., object], Sequence[str]]] = {
    responses.create: ("application/json", "text/event-stream"),
    chat.create: ("application/json", "text/event-stream"),
    conversation_files.export: (conversation_files.MEDIA_TYPE,),
    files.content: ("application/octet-stream",),
}
"""Handler → the media types of its answer, where that is not JSON alone."""

_PARAMETER: Final = re.compile(r"\{(\w+)(?::path)?\}")

_ERROR: Final[Schema] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def describe(routes: Sequence[BaseRoute]) -> Schema:
    """Return the OpenAPI 3.1 document of `routes`."""
    bodies: list[type[msgspec.Struct]] = list(BODIES.values())
    schemas, components = msgspec.json.schema_components(
        bodies, ref_template="#/components/schemas/{name}", schema_hook=_any_value
    )
    by_type = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, Schema] = {}
    for route in routes:
        if not isinstance(route, Route):
            continue
        path = _PARAMETER.sub(r"{\1}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(route, method, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Onward", "version": __version__},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _any_value(kind: type) -> Schema:
    """Return the schema of a type that stands for any JSON value."""
    if kind is object:
        return {"description": "Any JSON value."}  # an empty schema counts as none given
    raise NotImplementedError(kind)


def _operation(route: Route, method: str, by_type: Mapping[type[msgspec.Struct], Schema]) -> Schema:
    endpoint: Callable[..., object] = unwrap(route.endpoint)
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "schema": schema} for name, schema in QUERIES.get(endpoint, {}).items()
    ]
    operation: Schema = {
        "operationId": f"{method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', route.path)}",
        "summary": ((endpoint.__doc__ or route.name).strip().splitlines() or [""])[0],
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "Success",
                "content": {kind: {"schema": {}} for kind in CONTENT.get(endpoint, _JSON)},
            },
            "4XX": {
                "description": "The request is at fault",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if endpoint in BODIES:
        schema = by_type[BODIES[endpoint]]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    elif endpoint is files.create:
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD}}}
    return operation
