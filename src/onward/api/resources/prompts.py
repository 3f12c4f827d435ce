"""`/v1/prompts`: stored prompts in numbered versions, for `prompt` of a create call. An API of our own.

A change of what a prompt says is a new version; versions never change. Ids and version numbers of prompts that were
kept elsewhere can be given, so that clients go on naming them.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api import query
from onward.api.body import decode_json, read_body
from onward.api.content_type import check_json_type
from onward.api.errors import too_long
from onward.api.metadata import Metadata, check_metadata
from onward.api.reply import json_reply, list_body
from onward.api.responses.formats import read_format
from onward.api.responses.input_items import MAX_STRING, read_input
from onward.api.responses.intake import check_ranges
from onward.api.responses.prompt import (
    Configuration,
    decode_configuration,
    fill_in,
    names_in,
    read_version,
    templates_of,
)
from onward.api.responses.tools import read_tool_choice, read_tools
from onward.api.responses.wire import NULL, CreateResponse
from onward.api.services import project_of
from onward.core.errors import ConflictError, RequestError
from onward.core.items import Item, encode
from onward.core.tools import McpTool
from onward.ports.prompts import Prompt, PromptVersion, no_such_prompt

MAX_NAME: Final = 256
ATTEMPTS: Final = 8
"""How often a change is made anew because another one came between."""

_ID: Final = re.compile(r"pmpt_[A-Za-z0-9_-]{1,128}")
_MEMBERS: Final = Configuration.__struct_fields__

Members = dict[str, Raw]


class CreatePrompt(Configuration, frozen=True):
    """The body of `POST /v1/prompts`: a configuration, and what names it. `id` and `version` are given to import."""

    id: str | None = None
    version: str | None = None
    name: str | None = None
    metadata: Metadata = None


class UpdatePrompt(Configuration, frozen=True):
    """The body of `POST /v1/prompts/{id}`: what is absent stays, null clears."""

    name: str | None = None
    metadata: Metadata = None
    current_version: str | None = None


class CreateVersion(Configuration, frozen=True):
    """The body of `POST /v1/prompts/{id}/versions`: a whole configuration."""

    version: str | None = None
    current: bool | None = None


class _Named(Struct, frozen=True):
    """What is read of the bodies beside the configuration."""

    id: str | None = None
    version: str | None = None
    name: str | None = None
    metadata: Metadata = None
    current: bool | None = None
    current_version: str | None = None


_decode_named = msgspec.json.Decoder(_Named)
_decode_members = msgspec.json.Decoder(Members)


async def _read(request: Request) -> tuple[_Named, Members]:
    """Return what a body names, and the members of its configuration."""
    check_json_type(request.headers.get("content-type"))
    raw = await read_body(request)
    named = decode_json(raw, _decode_named)
    if named.name is not None and len(named.name) > MAX_NAME:
        raise too_long("name", len(named.name), maximum=MAX_NAME)
    members = decode_json(raw, _decode_members)
    return named, {name: members[name] for name in _MEMBERS if name in members}


def _checked(members: Mapping[str, Raw]) -> bytes:
    """Return a configuration as it is stored. Raises RequestError as a create call would."""
    given = {name: members[name] for name in _MEMBERS if name in members and bytes(members[name]) != bytes(NULL)}
    configuration = decode_json(encode(given), decode_configuration)
    body = fill_in(CreateResponse(), configuration)
    check_ranges(body)
    read_format(body.text.format if body.text else None)
    if "tool_choice" in given:
        read_tool_choice(bytes(given["tool_choice"]))
    if "tools" in given:
        given["tools"] = Raw(_storable_tools(bytes(given["tools"])))
    _check_messages(configuration)
    return encode(given)


def _storable_tools(raw: bytes) -> bytes:
    tools = read_tools(raw)
    for index, tool in enumerate(tools.tools):
        if isinstance(tool, McpTool):
            raise RequestError(
                "A prompt cannot hold MCP tools, because their addresses and credentials are never stored. "
                "Send them in 'tools' of the request.",
                param=f"tools[{index}]",
                code="unsupported_tool",
            )
    return tools.echo


def _check_messages(configuration: Configuration) -> None:
    instructions = configuration.instructions
    if isinstance(instructions, str) and len(instructions) > MAX_STRING:
        raise too_long("instructions", len(instructions), maximum=MAX_STRING)
    if not isinstance(instructions, list):
        return
    for index, item in enumerate(read_input(instructions, param="instructions").items):
        if not isinstance(item, Item) or item.type != "message":
            raise RequestError(
                "A prompt's instructions are messages.", param=f"instructions[{index}].type", code="invalid_value"
            )


def _number(written: str | None, param: str) -> int | None:
    number = None if written is None else read_version(written)
    if written is not None and number is None:
        raise RequestError(
            f"Invalid '{param}': a version is a whole number from 1 on, written as a string.",
            param=param,
            code="invalid_value",
        )
    return number


def _shown(configuration: bytes) -> Mapping[str, object]:
    stored = _decode_members.decode(configuration)
    variables = names_in(templates_of(decode_configuration.decode(configuration)))
    return {"variables": variables, **{name: stored.get(name) for name in _MEMBERS}}


def _view(prompt: Prompt) -> dict[str, object]:
    return {
        "id": prompt.id,
        "object": "prompt",
        "created_at": int(prompt.created_at),
        "name": prompt.name,
        "metadata": Raw(prompt.metadata),
        "version": str(prompt.current),
        "latest_version": str(prompt.latest),
        **_shown(prompt.configuration),
    }


def _version_view(version: PromptVersion) -> dict[str, object]:
    return {
        "id": str(version.number),
        "object": "prompt.version",
        "prompt_id": version.prompt_id,
        "version": str(version.number),
        "created_at": int(version.created_at),
        **_shown(version.configuration),
    }


async def create(request: Request) -> Response:
    """Create a prompt, or import one under its id and version."""
    named, members = await _read(request)
    if named.id is not None and _ID.fullmatch(named.id) is None:
        raise RequestError(
            "Invalid 'id'. Expected an ID that begins with 'pmpt_', followed by letters, digits, '_' and '-'.",
            param="id",
            code="invalid_value",
        )
    prompt = await project_of(request).prompts.create(
        _checked(members),
        prompt_id=named.id,
        name=named.name,
        metadata=check_metadata(named.metadata),
        number=_number(named.version, "version") or 1,
    )
    return json_reply(_view(prompt))


async def list_prompts(request: Request) -> Response:
    """List prompts, newest first."""
    found = await project_of(request).prompts.page(query.page(request.query_params))
    views = [encode(_view(prompt)) for prompt in found.prompts]
    return json_reply(list_body(views, [prompt.id for prompt in found.prompts], has_more=found.has_more))


async def retrieve(request: Request) -> Response:
    """Return a prompt with its current version."""
    return json_reply(_view(await project_of(request).prompts.get(request.path_params["prompt_id"])))


async def update(request: Request) -> Response:
    """Change a prompt: a changed configuration is a new version, current at once; `current_version` names another."""
    prompt_id = request.path_params["prompt_id"]
    prompts = project_of(request).prompts
    named, members = await _read(request)
    number = _number(named.current_version, "current_version")
    if number is not None and members:
        raise RequestError(
            "Mutually exclusive parameters: 'current_version' and the members of a new version.",
            param="current_version",
            code="mutually_exclusive_parameters",
        )
    metadata = None if named.metadata is None else check_metadata(named.metadata)
    if members:
        await _change(request, prompt_id, members)
    elif number is not None:
        await prompts.select(prompt_id, number)
    if named.name is not None or metadata is not None:
        await prompts.describe(prompt_id, name=named.name, metadata=metadata)
    return json_reply(_view(await prompts.get(prompt_id)))


async def _change(request: Request, prompt_id: str, members: Members) -> None:
    prompts = project_of(request).prompts
    for _ in range(ATTEMPTS):
        current = await prompts.get(prompt_id)
        configuration = _checked(_decode_members.decode(current.configuration) | members)
        added = await prompts.add(prompt_id, configuration, number=None, select=True, after=current.current)
        if added is not None:
            return
    raise ConflictError(f"The prompt '{prompt_id}' is being changed by others. Please retry.")


async def delete(request: Request) -> Response:
    """Delete a prompt with all its versions."""
    prompt_id = request.path_params["prompt_id"]
    await project_of(request).prompts.delete(prompt_id)
    return json_reply({"id": prompt_id, "object": "prompt.deleted", "deleted": True})


async def create_version(request: Request) -> Response:
    """Add a version, under its own number where that is given; it is current only where `current` says so."""
    named, members = await _read(request)
    version = await project_of(request).prompts.add(
        request.path_params["prompt_id"],
        _checked(members),
        number=_number(named.version, "version"),
        select=named.current is True,
    )
    assert version is not None, "only a change of the current version can come too late"
    return json_reply(_version_view(version))


async def list_versions(request: Request) -> Response:
    """List the versions of a prompt, newest first."""
    page = query.page(request.query_params)
    found = await project_of(request).prompts.versions(request.path_params["prompt_id"], page)
    views = [encode(_version_view(version)) for version in found.versions]
    return json_reply(list_body(views, [str(version.number) for version in found.versions], has_more=found.has_more))


async def retrieve_version(request: Request) -> Response:
    """Return one version of a prompt."""
    prompt_id, written = request.path_params["prompt_id"], request.path_params["version"]
    number = read_version(written)
    if number is None:
        raise no_such_prompt(prompt_id, written)
    return json_reply(_version_view(await project_of(request).prompts.version(prompt_id, number)))


_ONE = "/v1/prompts/{prompt_id}"

routes: list[BaseRoute] = [
    Route("/v1/prompts", create, methods=["POST"]),
    Route("/v1/prompts", list_prompts, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/versions", list_versions, methods=["GET"]),
    Route(f"{_ONE}/versions", create_version, methods=["POST"]),
    Route(f"{_ONE}/versions/{{version}}", retrieve_version, methods=["GET"]),
]
