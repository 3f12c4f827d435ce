"""Tool servers across turns: what the context already knows of them, and which of their calls the client approved.

Earlier calls are shown to the model as calls of functions and their outputs, because they had effects: unlike a search
they must not be made again to be known.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from onward.core import compose
from onward.core.errors import RequestError
from onward.core.ids import new_id
from onward.core.items import Item
from onward.core.tools import McpTool, Tool, function_name
from onward.core.turns import TurnRequest
from onward.engine.dispatch import Dispatch
from onward.ports.runs import Base, Runs

TYPES: Final = ("mcp_list_tools", "mcp_approval_request", "mcp_call")
_REPLAYED: Final = frozenset({"mcp_call", "mcp_approval_response"})


class _Call(Struct, frozen=True):
    """What is read of `mcp_call` and `mcp_approval_request`."""

    name: str = ""
    server_label: str = ""
    arguments: str = ""
    output: str | None = None
    error: object = None
    approval_request_id: str | None = None


class _Named(Struct, frozen=True):
    name: str = ""


class _Listing(Struct, frozen=True):
    """What is read of `mcp_list_tools`."""

    server_label: str = ""
    error: object = None
    tools: tuple[_Named, ...] = ()


class _Answer(Struct, frozen=True):
    """What is read of `mcp_approval_response`."""

    approval_request_id: str = ""
    approve: bool = False
    reason: str | None = None


_read_call = msgspec.json.Decoder(_Call).decode
_read_listing = msgspec.json.Decoder(_Listing).decode
_read_answer = msgspec.json.Decoder(_Answer).decode


class Approved(Struct, frozen=True):
    """A call that the client approved and that has not run yet."""

    request_id: str
    tool: McpTool
    name: str
    arguments: str


class Recalled(Struct, frozen=True):
    """What a turn has to do with tool servers before the model is asked: servers to list, calls to run.

    `readable` is the turn's input as a model reads it.
    """

    unlisted: tuple[Tool, ...]
    approved: tuple[Approved, ...]
    readable: Sequence[Item]


async def recall(
    runs: Runs, request: TurnRequest, dispatch: Dispatch, base: Base, supplied: Sequence[Item]
) -> Recalled:
    """Return what is to do, and tell `dispatch` of the tools that the context lists already.

    Raises RequestError for an approval of a request that is not in the context.
    """
    servers = {tool.label: tool for tool in request.tools if isinstance(tool, McpTool)}
    answered = any(item.type == "mcp_approval_response" for item in supplied)
    if not servers and not answered:
        return Recalled((), (), as_calls(supplied))
    earlier = await runs.of_types(base.lineage, TYPES) if base.lineage else ()
    known = [*earlier, *(item for item in supplied if item.type in TYPES)]
    requests = {item.id: item for item in known if item.type == "mcp_approval_request"}
    unlisted = [tool for tool in dispatch.listing if not _take_listing(dispatch, tool, known)]
    return Recalled(tuple(unlisted), tuple(_approved(servers, requests, known, supplied)), as_calls(supplied, requests))


def _take_listing(dispatch: Dispatch, tool: Tool, known: Sequence[Item]) -> bool:
    """Tell `dispatch` of the newest good listing of the tool's server; return whether there is one."""
    assert isinstance(tool, McpTool)
    for item in reversed(known):
        if item.type == "mcp_list_tools" and _is_listing_of(tool, item):
            dispatch.listed(tool, item)
            return True
    return False


def _is_listing_of(tool: McpTool, item: Item) -> bool:
    """Tell whether the item lists what the tool allows; one that was made for other names does not."""
    try:
        listing = _read_listing(item.body)
    except msgspec.ValidationError:
        return False
    if listing.server_label != tool.label or listing.error:
        return False
    return tool.allowed.names is None or tool.allowed.names <= {one.name for one in listing.tools}


def _approved(
    servers: Mapping[str, McpTool], requests: Mapping[str, Item], known: Sequence[Item], supplied: Sequence[Item]
) -> list[Approved]:
    calls = (_read(item) for item in known if item.type == "mcp_call")
    ran = {call.approval_request_id for call in calls if call is not None}
    found: dict[str, Approved] = {}
    for item in supplied:
        if item.type != "mcp_approval_response":
            continue
        answer = _read_answer(item.body)
        request_id = answer.approval_request_id
        request = requests.get(request_id)
        asked = _read(request) if request is not None else None
        if asked is None:
            raise RequestError(
                f"No approval request found for approval response with approval_request_id '{request_id}'.",
                param="input",
            )
        if not answer.approve or request_id in ran:
            continue
        tool = servers.get(asked.server_label)
        if tool is None:
            raise RequestError(
                f"The approved call needs the MCP server '{asked.server_label}', which is not in 'tools'.",
                param="tools",
                code="invalid_value",
            )
        found[request_id] = Approved(request_id, tool, asked.name, asked.arguments)
    return list(found.values())


def as_calls(items: Sequence[Item], requests: Mapping[str, Item] | None = None) -> Sequence[Item]:
    """Return the items with calls of tool servers, and refused ones, as function calls with outputs.

    `requests` are approval requests beside those among the items.
    """
    if not any(item.type in _REPLAYED for item in items):
        return items
    asked = dict(requests or {}) | {item.id: item for item in items if item.type == "mcp_approval_request"}
    shown: list[Item] = []
    for item in items:
        if item.type == "mcp_call":
            shown.extend(_as_call(item))
        elif item.type == "mcp_approval_response":
            shown.extend(_as_refused(item, asked))
        else:
            shown.append(item)
    return shown


def _as_call(item: Item) -> list[Item]:
    call = _read(item)
    if call is None or (call.output is None and call.error is None):
        return []
    return _pair(item.id, call, call.output if call.output is not None else _told(call.error))


def _told(error: object) -> str:
    return f"The call failed: {error if isinstance(error, str) else msgspec.json.encode(error).decode()}"


def _as_refused(item: Item, asked: Mapping[str, Item]) -> list[Item]:
    answer = _read_answer(item.body)
    request = asked.get(answer.approval_request_id)
    call = _read(request) if request is not None else None
    if answer.approve or call is None:
        return []
    reason = f" The reason: {answer.reason}" if answer.reason else ""
    return _pair(item.id, call, f"The user did not approve this call.{reason}")


def _pair(call_id: str, call: _Call, output: str) -> list[Item]:
    name = function_name(call.name)
    return [
        compose.function_call(new_id("fc_"), call_id=call_id, name=name, arguments=call.arguments or "{}"),
        compose.function_call_output(new_id("fco_"), call_id=call_id, output=output),
    ]


def _read(item: Item) -> _Call | None:
    """Return the call of an item, None where a client sent something else under its type."""
    try:
        return _read_call(item.body)
    except msgspec.ValidationError:
        return None
