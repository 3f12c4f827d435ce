"""Hosted tools inside a turn: which calls are hosted, running them, and what the model reads of them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import msgspec

from onward.core import compose
from onward.core.errors import RequestError
from onward.core.ids import new_id
from onward.core.items import Item
from onward.core.tokens import estimate_tokens
from onward.core.tools import (
    MAX_FUNCTION_NAME,
    FileSearchTool,
    FunctionTool,
    McpTool,
    Tool,
    ToolCall,
    ToolChoice,
    function_name,
    tool_name,
)
from onward.core.turns import TurnRequest
from onward.ports.hosted import Offer, Outcome, Session, Toolset
from onward.ports.model import Capabilities


class Dispatch:
    """The tools of one turn, as the model sees them."""

    def __init__(self, request: TurnRequest, toolset: Toolset) -> None:
        self._toolset = toolset
        self._choice = request.tool_choice
        self._functions = [tool for tool in request.tools if isinstance(tool, FunctionTool)]
        self._hosted: dict[str, Tool] = {}
        for tool in request.tools:
            if not isinstance(tool, FunctionTool):
                self._hosted[tool_name(tool)] = tool
        self._offers: dict[str, Offer] = {}
        """By the name that the model calls."""
        for tool in self._hosted.values():
            if toolset.supports(tool) and not toolset.lists(tool):
                self._offer(tool, None)

    async def check(self) -> None:
        """Check every hosted tool and the choice. Raises RequestError for what this server cannot run."""
        for tool in self._hosted.values():
            if not self._toolset.supports(tool):
                kind = tool_name(tool)
                raise RequestError(
                    f"Tool '{kind}' is not available on this server.", param="tools", code="unsupported_tool"
                )
            await self._toolset.check(tool)
        known = {function.name for function in self._functions} | self._hosted.keys()
        for name in self._choice.names:
            if name not in known and self._server_of(name) is None:
                raise RequestError(
                    f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice", code="invalid_value"
                )
        if self._choice.mode == "required" and not known:
            raise RequestError(
                "Tool choice 'required' must be specified with 'tools' parameter.",
                param="tool_choice",
                code="invalid_value",
            )

    def session(self) -> AbstractAsyncContextManager[Session | None]:
        """Return the hosted tools for the length of the turn; None where it has none."""
        return self._toolset.session() if self._hosted else nullcontext()

    def _server_of(self, choice: str) -> Tool | None:
        """Return the tool whose single function a choice names, as in `mcp:label:name`."""
        return next((tool for name, tool in self._hosted.items() if choice.startswith(f"{name}:")), None)

    @property
    def listing(self) -> list[Tool]:
        """The hosted tools whose servers have to tell what they offer."""
        return [tool for tool in self._hosted.values() if self._toolset.lists(tool)]

    def listed(self, tool: Tool, listing: Item) -> None:
        """Take what a server offers."""
        self._offer(tool, listing)

    def _offer(self, tool: Tool, listing: Item | None) -> None:
        taken = {function.name for function in self._functions}
        for offer in self._toolset.offers(tool, listing):
            name = offer.function.name
            if name in taken or name in self._offers:
                name = function_name(f"{offer.label}_{name}")
            number = 2
            while name in taken or name in self._offers:
                name = f"{name[: MAX_FUNCTION_NAME - 4]}_{number}"
                number += 1
            function = msgspec.structs.replace(offer.function, name=name)
            self._offers[name] = msgspec.structs.replace(offer, function=function)

    @property
    def search_tool(self) -> FileSearchTool | None:
        """The file_search tool of the turn, where it has one that may be used."""
        tool = self._hosted.get("file_search")
        allowed = self._choice.mode != "none" and (not self._choice.names or "file_search" in self._choice.names)
        return tool if isinstance(tool, FileSearchTool) and allowed else None

    def tokens(self, capabilities: Capabilities) -> int:
        """Return the estimated tokens of the declarations, or of what a search before the first model call brings."""
        searches = capabilities.forced_retrieval and self.search_tool is not None
        declared = self.declarations(hosted=not searches)
        total = sum(estimate_tokens(tool.description or "") + _schema_tokens(tool) for tool in declared)
        return total + (capabilities.passage_tokens or 0 if searches else 0)

    def offer(self, name: str) -> Offer | None:
        """Return the hosted function that the model calls `name`, None for a function of the client's."""
        return self._offers.get(name)

    def function(self, name: str) -> FunctionTool | None:
        """Return the client's function that the model calls `name`; None where none was declared."""
        return next((function for function in self._functions if function.name == name), None)

    def approved_offer(self, tool: McpTool, name: str) -> Offer:
        """Return the function that a server itself calls `name`, as one that runs.

        Raises RequestError where the server does not offer it (any more), or the request does not allow it.
        """
        found = next((one for one in self._offers.values() if one.tool is tool and one.name == name), None)
        if found is None:
            raise RequestError(
                f"The approved tool '{name}' is not among the allowed tools of MCP server '{tool.label}'.",
                param="tools",
                code="invalid_value",
            )
        return msgspec.structs.replace(found, item_type="mcp_call", asks=False)

    def declarations(self, *, hosted: bool) -> Sequence[FunctionTool]:
        """Return the tools for a model call; without `hosted` ones where no further hosted call is allowed."""
        declared = [offer.function for offer in self._offers.values()] if hosted else []
        return [*self._functions, *declared]

    def choice(self, *, first: bool, hosted: bool) -> ToolChoice:
        """Return the choice for a model call: a call is required once, so that no turn loops for ever.

        Where no `hosted` call is allowed, the choice is among the functions.
        """
        choice = self._choice
        if choice.mode == "none" or (not choice.names and first and hosted):
            return choice
        if first and hosted:
            called = self._callable(choice.names)
            return ToolChoice(choice.mode, called) if called else ToolChoice("none")
        if choice.mode == "required" and len(choice.names) == 1 and (not first or self._is_hosted(choice.names[0])):
            return ToolChoice()
        names = tuple(name for name in choice.names if hosted or not self._is_hosted(name))
        if choice.names and not names:
            return ToolChoice("none")
        stays_required = first and names == choice.names and bool(self._functions)
        return ToolChoice(choice.mode if stays_required else "auto", self._callable(names))

    def _is_hosted(self, name: str) -> bool:
        return name in self._hosted or self._server_of(name) is not None

    def _callable(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names that the model calls for the names of a choice, which may stand for a whole server."""
        found: list[str] = []
        for name in names:
            if not self._is_hosted(name):
                found.append(name)
                continue
            found.extend(
                called
                for called, offer in self._offers.items()
                if name in (tool_name(offer.tool), f"{tool_name(offer.tool)}:{offer.name}")
            )
        return tuple(found)

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        """Return the queries of a hosted call."""
        return self._toolset.queries(call)


def _schema_tokens(tool: FunctionTool) -> int:
    return estimate_tokens(bytes(tool.parameters)) if tool.parameters is not None else 0


def exchange(calls: Sequence[tuple[ToolCall, Outcome]], *, preface: Sequence[Item]) -> list[Item]:
    """Return what the model reads of hosted calls in the same turn: its text, the calls and their answers."""
    asked = [
        compose.function_call(new_id("fc_"), call_id=call.call_id, name=call.name, arguments=call.arguments)
        for call, _ in calls
    ]
    answers = [
        compose.function_call_output(new_id("fco_"), call_id=call.call_id, output=outcome.answer)
        for call, outcome in calls
    ]
    return [*preface, *asked, *answers]
