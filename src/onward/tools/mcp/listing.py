"""What an MCP server offers: as a `mcp_list_tools` item keeps it, and as functions of the model."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from onward.core.items import Item, encode
from onward.core.tools import FunctionTool, McpTool, ToolMatch, function_name
from onward.ports.hosted import Offer

MAX_DESCRIPTION: Final = 4_096
EMPTY_SCHEMA: Final = b'{"type":"object","properties":{}}'


class Listed(Struct, frozen=True):
    """A tool of a server, as the item has it."""

    name: str
    input_schema: Raw = Raw(EMPTY_SCHEMA)
    description: str | None = None
    annotations: dict[str, object] | None = None

    @property
    def read_only(self) -> bool:
        """Whether the server says that the tool changes nothing."""
        return (self.annotations or {}).get("readOnlyHint") is True


class _Listing(Struct, frozen=True):
    tools: tuple[Listed, ...] = ()


_read = msgspec.json.Decoder(_Listing).decode


def body(tool: McpTool, listed: Sequence[Listed], *, error: str | None = None) -> bytes:
    """Return the item's members: the tools that the request allows."""
    allowed = [one for one in listed if tool.allowed.matches(one.name, read_only=one.read_only)]
    return encode({"server_label": tool.label, "tools": allowed, "error": error})


def offers(tool: McpTool, listing: Item) -> Sequence[Offer]:
    """Return the functions that a listing offers to the model, without those the request does not allow."""
    try:
        listed = _read(listing.body).tools
    except msgspec.ValidationError:
        return ()
    return [_offer(tool, one) for one in listed if tool.allowed.matches(one.name, read_only=one.read_only)]


def _offer(tool: McpTool, listed: Listed) -> Offer:
    asks = _matches(tool.approve, listed) and not _matches(tool.skip, listed)
    description = listed.description[:MAX_DESCRIPTION] if listed.description else tool.description
    schema = bytes(listed.input_schema)
    function = FunctionTool(
        function_name(listed.name), description, Raw(schema if schema.startswith(b"{") else EMPTY_SCHEMA)
    )
    item_type = "mcp_approval_request" if asks else "mcp_call"
    return Offer(function, item_type, tool, listed.name, tool.label, shows=True, asks=asks)


def _matches(match: ToolMatch | None, listed: Listed) -> bool:
    return match is not None and match.matches(listed.name, read_only=listed.read_only)
