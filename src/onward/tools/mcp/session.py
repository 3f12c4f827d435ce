"""MCP servers during one turn: listing what they offer, and calling it."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec import Raw

from onward.core.errors import ToolServerError
from onward.core.items import encode
from onward.core.tools import McpTool, ToolCall
from onward.ports.egress import Egress
from onward.ports.hosted import Offer, Outcome
from onward.tools.mcp import listing

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

    from onward.tools.mcp.connection import Connection, ServerFault

LIST_SECONDS: Final = 30.0
CALL_SECONDS: Final = 120.0
MAX_PAGES: Final = 50
MAX_TOOLS: Final = 1_000
MAX_LISTING: Final = 2 * 1024 * 1024
MAX_OUTPUT: Final = 200_000
"""Characters of a call's output that are kept and read."""
INVALID_PARAMS: Final = -32602
"""JSON-RPC's code for arguments that are none."""

_arguments = msgspec.json.Decoder(dict[str, Any])


class McpServers:
    """The servers of one turn; each is connected to when it is first needed."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._connections: dict[str, Connection] = {}

    async def list_tools(self, tool: McpTool) -> Outcome:
        """Ask a server what it offers; an outcome that failed carries the fault that ends the turn."""
        from_server = await self._connection(tool)
        try:
            listed = await from_server.request(_list, seconds=LIST_SECONDS)
        except _fault() as fault:
            message = f"Error retrieving tool list from MCP server: '{tool.label}'. {fault.message}"
            body = listing.body(tool, (), error=fault.message)
            error = ToolServerError(message, param="tools", code=fault.kind)
            return Outcome(body, message, status="failed", fault=error)
        return Outcome(listing.body(tool, listed), "")

    async def run(self, tool: McpTool, offer: Offer, call: ToolCall, *, approval: str | None) -> Outcome:
        """Call a tool; a fault is a failed outcome that tells the model."""
        try:
            arguments = _arguments.decode(call.arguments or "{}")
        except (msgspec.MsgspecError, UnicodeError):
            error = {"type": "mcp_protocol_error", "code": INVALID_PARAMS, "message": "The arguments are no object."}
            return _failed(offer, call, approval, error, "The call failed: its arguments are no JSON object.")
        name = offer.name
        server = await self._connection(tool)
        try:
            result = await server.request(lambda client: _call(client, name, arguments), seconds=CALL_SECONDS)
        except _fault() as fault:
            error = {"type": fault.kind, "code": fault.code, "message": fault.message}
            return _failed(offer, call, approval, error, f"The call failed: {fault.message}")
        output = _output(result)
        if result.is_error:
            error = {"type": "mcp_tool_execution_error", "content": _contents(result)}
            return _failed(offer, call, approval, error, f"The tool failed: {output}")
        return Outcome(_body(offer, call, approval, output=output, error=None), output)

    async def aclose(self) -> None:
        """End all sessions, at the same time."""
        await asyncio.gather(*(one.aclose() for one in self._connections.values()))
        self._connections.clear()

    async def _connection(self, tool: McpTool) -> "Connection":
        known = self._connections.get(tool.label)
        if known is None:
            # The SDK takes a moment to import: not on the loop that serves others.
            module = await asyncio.to_thread(_import)
            known = self._connections[tool.label] = module.Connection(tool.access, self._egress)
        return known


def _import() -> Any:
    from onward.tools.mcp import connection

    return connection


def _fault() -> "type[ServerFault]":
    return cast("type[ServerFault]", _import().ServerFault)


async def _list(client: "Client") -> Sequence[listing.Listed]:
    found: list[listing.Listed] = []
    size = 0
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for one in page.tools:
            schema = encode(one.input_schema)
            size += len(schema) + len(one.description or "") + len(one.name)
            if len(found) >= MAX_TOOLS or size > MAX_LISTING:
                raise _fault()("mcp_protocol_error", -32603, "The server offers too many tools.")
            marks = (
                one.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if one.annotations else None
            )
            found.append(listing.Listed(one.name, Raw(schema), one.description, marks))
        cursor = page.next_cursor
        if not cursor:
            return found
    raise _fault()("mcp_protocol_error", -32603, "The server's list of tools does not end.")


async def _call(client: "Client", name: str, arguments: dict[str, Any]) -> "CallToolResult":
    """Call a tool as the context lists it: the SDK's own method would ask for the list again, once a connection."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import HEADER_MISMATCH, CallToolRequest, CallToolRequestParams, CallToolResult

    request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
    try:
        return await client.session.send_request(request, CallToolResult)
    except MCPError as error:
        if error.code != HEADER_MISMATCH:
            raise
        return await client.call_tool(name, arguments)


def _failed(offer: Offer, call: ToolCall, approval: str | None, error: object, told: str) -> Outcome:
    body = _body(offer, call, approval, output=None, error=error)
    return Outcome(body, told[:MAX_OUTPUT], status="failed")


def _body(offer: Offer, call: ToolCall, approval: str | None, *, output: str | None, error: object) -> bytes:
    return encode(
        {
            "approval_request_id": approval,
            "arguments": call.arguments,
            "error": error,
            "name": offer.name,
            "output": output,
            "server_label": offer.label,
        }
    )


def _contents(result: "CallToolResult") -> list[Any]:
    return [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.content][:100]


def _output(result: "CallToolResult") -> str:
    """Return the text of a result: text as it is, other content as JSON, structured content where there is no other."""
    blocks = [
        part.text
        if part.type == "text"
        else encode(part.model_dump(mode="json", by_alias=True, exclude_none=True)).decode()
        for part in result.content
    ]
    if not blocks and result.structured_content is not None:
        blocks = [encode(result.structured_content).decode()]
    text = "\n".join(blocks)
    return text if len(text) <= MAX_OUTPUT else f"{text[:MAX_OUTPUT]}\n[The output was cut here.]"
