"""Functions and their choice as chat completions write them (nested, and in the older form), as core tools.

A list is read once for the bytes that it came in, because clients repeat it with every turn.
"""

import re
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from onward.api.body import decode_json
from onward.api.chat.wire import NULL, CreateCompletion, is_given
from onward.api.errors import invalid_value, missing_parameter
from onward.api.responses.schemas import check_parameters
from onward.core.errors import RequestError
from onward.core.tools import FunctionTool, Tool, ToolChoice, WebSearchTool

MAX_TOOLS: Final = 1024
MAX_CACHED: Final = 256 * 1024
"""Bytes of a tool list that is remembered."""
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MODES: Final = ("none", "auto", "required")


class _Function(Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None


class _Tool(Struct, frozen=True):
    type: str
    function: _Function | None = None


class _Named(Struct, frozen=True):
    name: str


class _Chosen(Struct, frozen=True):
    type: str
    function: _Named | None = None


class _Allowed(Struct, frozen=True):
    mode: str
    tools: list[_Chosen]


class _Choice(Struct, frozen=True):
    type: str
    function: _Named | None = None
    allowed_tools: _Allowed | None = None


class _Tools(Struct, frozen=True):
    tools: list[_Tool]


class _Functions(Struct, frozen=True):
    functions: list[_Function]


class _ToolChoice(Struct, frozen=True):
    tool_choice: str | _Choice


class _FunctionCall(Struct, frozen=True):
    function_call: str | _Named


class Tools(Struct, frozen=True):
    """The tools of a request. `legacy`: it speaks of functions, so that a call is answered as `function_call`."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    legacy: bool = False


_read_tools = msgspec.json.Decoder(_Tools)
_read_functions = msgspec.json.Decoder(_Functions)
_read_choice = msgspec.json.Decoder(_ToolChoice)
_read_function_call = msgspec.json.Decoder(_FunctionCall)
_read_schema = msgspec.json.Decoder(dict[str, Any])


def read_tools(body: CreateCompletion) -> Tools:
    """Return tools and choice of a request. Raises RequestError with the path of what is wrong."""
    legacy = is_given(body.functions) or is_given(body.function_call)
    if legacy and (is_given(body.tools) or is_given(body.tool_choice)):
        raise RequestError(
            "'functions' and 'function_call' cannot be used together with 'tools' and 'tool_choice'.",
            param="functions",
            code="invalid_parameter_combination",
        )
    listed, chosen = (body.functions, body.function_call) if legacy else (body.tools, body.tool_choice)
    read = _once(legacy, bytes(listed)) if len(bytes(listed)) <= MAX_CACHED else _read(legacy, bytes(listed))
    functions: tuple[Tool, ...] = read
    choice = ToolChoice()
    if is_given(chosen):
        choice = _read_legacy_choice(bytes(chosen)) if legacy else _read_tool_choice(bytes(chosen))
        _check_choice(choice, read, "function_call" if legacy else "tool_choice", "functions" if legacy else "tools")
    if body.web_search_options is not None:
        functions = (*functions, _web_search(body))
    return Tools(functions, choice, legacy)


def _web_search(body: CreateCompletion) -> WebSearchTool:
    assert body.web_search_options is not None
    options = body.web_search_options
    place = options.user_location.approximate if options.user_location is not None else None
    return WebSearchTool(
        context_size=options.search_context_size or "medium", country=place.country if place is not None else None
    )


def _read(legacy: bool, raw: bytes) -> tuple[FunctionTool, ...]:
    if raw == b"null":
        return ()
    if legacy:
        functions = decode_json(b'{"functions":%b}' % raw, _read_functions).functions
        _check_count(len(functions), "functions")
        return tuple(_function(one, f"functions[{index}]") for index, one in enumerate(functions))
    tools = decode_json(b'{"tools":%b}' % raw, _read_tools).tools
    _check_count(len(tools), "tools")
    return tuple(_tool(one, f"tools[{index}]") for index, one in enumerate(tools))


_once = lru_cache(maxsize=256)(_read)


def _check_count(count: int, param: str) -> None:
    if count > MAX_TOOLS:
        raise RequestError(f"Invalid '{param}': at most {MAX_TOOLS} tools are allowed.", param=param)


def _tool(tool: _Tool, path: str) -> FunctionTool:
    if tool.type == "custom":
        raise RequestError(
            "Tools of type 'custom' are not supported by this version of Onward.",
            param=f"{path}.type",
            code="unsupported_value",
        )
    if tool.type != "function":
        raise invalid_value(f"{path}.type", tool.type, ("function", "custom"))
    if tool.function is None:
        raise missing_parameter(f"{path}.function")
    return _function(tool.function, f"{path}.function")


def _function(function: _Function, path: str) -> FunctionTool:
    if _NAME.fullmatch(function.name) is None:
        raise RequestError(
            f"Invalid '{path}.name': string does not match pattern. Expected a string of at most 64 characters that "
            "matches the pattern '^[a-zA-Z0-9_-]+$'.",
            param=f"{path}.name",
            code="invalid_value",
        )
    strict = function.strict is True
    parameters = function.parameters if is_given(function.parameters) else None
    if parameters is not None:
        where = f"{path}.parameters"
        try:
            schema = _read_schema.decode(parameters)
        except msgspec.ValidationError as error:
            raise RequestError(
                f"Invalid type for '{where}': expected an object.", param=where, code="invalid_type"
            ) from error
        check_parameters(schema, name=function.name, param=where, strict=strict)
    return FunctionTool(function.name, function.description, parameters, strict)


def _read_tool_choice(raw: bytes) -> ToolChoice:
    choice = decode_json(b'{"tool_choice":%b}' % raw, _read_choice).tool_choice
    if isinstance(choice, str):
        if choice not in _MODES:
            raise invalid_value("tool_choice", choice, _MODES)
        return ToolChoice(choice)
    if choice.type == "allowed_tools":
        allowed = choice.allowed_tools
        if allowed is None:
            raise missing_parameter("tool_choice.allowed_tools")
        if allowed.mode not in ("auto", "required"):
            raise invalid_value("tool_choice.allowed_tools.mode", allowed.mode, ("auto", "required"))
        if not allowed.tools:
            raise missing_parameter("tool_choice.allowed_tools.tools")
        names = [
            _chosen_name(one.type, one.function, f"tool_choice.allowed_tools.tools[{index}]")
            for index, one in enumerate(allowed.tools)
        ]
        return ToolChoice(allowed.mode, tuple(names))
    return ToolChoice("required", (_chosen_name(choice.type, choice.function, "tool_choice"),))


def _chosen_name(kind: str, function: _Named | None, path: str) -> str:
    if kind != "function":
        raise invalid_value(f"{path}.type", kind, ("function", "allowed_tools"))
    if function is None:
        raise missing_parameter(f"{path}.function")
    return function.name


def _read_legacy_choice(raw: bytes) -> ToolChoice:
    choice = decode_json(b'{"function_call":%b}' % raw, _read_function_call).function_call
    if not isinstance(choice, str):
        return ToolChoice("required", (choice.name,))
    if choice not in ("none", "auto"):
        raise invalid_value("function_call", choice, ("none", "auto"))
    return ToolChoice(choice)


def _check_choice(choice: ToolChoice, tools: tuple[FunctionTool, ...], param: str, listed: str) -> None:
    if choice.mode != "required" and not choice.names:
        return
    if not tools:
        raise RequestError(
            f"Invalid value for '{param}': '{param}' is only allowed when '{listed}' are specified.", param=param
        )
    known = {tool.name for tool in tools}
    missing = next((name for name in choice.names if name not in known), None)
    if missing is not None:
        raise RequestError(
            f"Tool choice '{missing}' not found in '{listed}' parameter.", param=param, code="invalid_value"
        )
