"""Hosted tools inside a turn: which calls are hosted, running them, and what the model reads of them."""

from collections.abc import Sequence

from onward.core import compose
from onward.core.errors import RequestError
from onward.core.ids import new_id
from onward.core.items import Item
from onward.core.tokens import estimate_tokens
from onward.core.tools import FileSearchTool, FunctionTool, HostedTool, Tool, ToolCall, ToolChoice, tool_name
from onward.core.turns import TurnRequest
from onward.ports.hosted import Outcome, Toolset

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

    def item_type(self, name: str) -> str | None:
        """Return the item type of a hosted call, None for a function of the client's."""
        return ITEM_TYPES.get(name, f"{name}_call") if name in self._hosted else None

    def declarations(self, *, hosted: bool) -> Sequence[FunctionTool]:
        """Return the tools for a model call; without `hosted` ones where no further hosted call is allowed."""
        declared = [self._toolset.declare(tool) for tool in self._hosted.values()] if hosted else []
        return [*self._functions, *declared]

    def choice(self, *, first: bool, hosted: bool) -> ToolChoice:
        """Return the choice for a model call: a forced tool is forced once, so that no turn loops for ever."""
        if first and (hosted or not self._choice.names or not set(self._choice.names) & self._hosted.keys()):
            return self._choice
        if self._choice.mode == "none":
            return self._choice
        if self._choice.mode == "required" and len(self._choice.names) == 1:
            return ToolChoice()
        return ToolChoice("auto", tuple(name for name in self._choice.names if hosted or name not in self._hosted))

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        """Return the queries of a hosted call."""
        return self._toolset.queries(call)

    async def run(self, call: ToolCall) -> Outcome:
        """Run one hosted call."""
        return await self._toolset.run(self._hosted[call.name], call)


def hosted_item(item_id: str, item_type: str, outcome: Outcome) -> Item:
    """Return the stored item of a hosted call."""
    return compose.hosted_call(item_id, item_type, body=outcome.body, status=outcome.status)


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


def answer_tokens(outcomes: Sequence[Outcome]) -> int:
    """Return the estimated tokens of what the tools said."""
    return sum(estimate_tokens(outcome.answer) for outcome in outcomes)


def is_hosted(tool: Tool) -> bool:
    """Tell whether the server runs the tool."""
    return isinstance(tool, FileSearchTool | HostedTool)
