"""Hosted tools inside a turn: which calls are hosted, running them, and what the model reads of them."""

from collections.abc import Sequence

from onward.core import compose
from onward.core.errors import RequestError
from onward.core.ids import new_id
from onward.core.items import Item
from onward.core.tokens import estimate_tokens
from onward.core.tools import FileSearchTool, FunctionTool, Tool, ToolCall, ToolChoice, tool_name
from onward.core.turns import TurnRequest
from onward.ports.hosted import Outcome, Toolset
from onward.ports.model import Capabilities

ITEM_TYPES = {"file_search": "file_search_call"}
"""Item type of a hosted tool's calls, by tool name."""


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
            if name not in known:
                raise RequestError(
                    f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice", code="invalid_value"
                )
        if self._choice.mode == "required" and not known:
            raise RequestError(
                "Tool choice 'required' must be specified with 'tools' parameter.",
                param="tool_choice",
                code="invalid_value",
            )

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

    def item_type(self, name: str) -> str | None:
        """Return the item type of a hosted call, None for a function of the client's."""
        return ITEM_TYPES.get(name, f"{name}_call") if name in self._hosted else None

    def declarations(self, *, hosted: bool) -> Sequence[FunctionTool]:
        """Return the tools for a model call; without `hosted` ones where no further hosted call is allowed."""
        declared = [self._toolset.declare(tool) for tool in self._hosted.values()] if hosted else []
        return [*self._functions, *declared]

    def choice(self, *, first: bool, hosted: bool) -> ToolChoice:
        """Return the choice for a model call: a call is required once, so that no turn loops for ever.

        Where no `hosted` call is allowed, the choice is among the functions.
        """
        choice = self._choice
        if choice.mode == "none" or (first and hosted):
            return choice
        if choice.mode == "required" and len(choice.names) == 1 and (not first or choice.names[0] in self._hosted):
            return ToolChoice()
        names = tuple(name for name in choice.names if hosted or name not in self._hosted)
        if choice.names and not names:
            return ToolChoice("none")
        stays_required = first and names == choice.names and bool(self._functions)
        return ToolChoice(choice.mode if stays_required else "auto", names)

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        """Return the queries of a hosted call."""
        return self._toolset.queries(call)

    async def run(self, call: ToolCall) -> Outcome:
        """Run one hosted call."""
        return await self._toolset.run(self._hosted[call.name], call)


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
