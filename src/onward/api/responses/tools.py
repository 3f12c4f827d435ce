"""Tools and their choice on the wire: normalised for the echo, and as core tools for the engine.

Normalising is cached by the bytes sent, because clients repeat one tool list with every turn.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, cast

import msgspec
from msgspec import Raw, Struct

from onward.api.errors import invalid_value, missing_parameter, out_of_range, too_long
from onward.api.responses.schemas import check_parameters
from onward.api.responses.server_tools import WEB_SEARCH, read_mcp, read_web_search
from onward.core.errors import RequestError
from onward.core.items import encode
from onward.core.tools import FileSearchTool, FunctionTool, HostedTool, RankingOptions, Tool, ToolChoice, qualified_name
from onward.ports.filters import FilterError, decode_filter

Fields = dict[str, object]

HOSTED_CHOICES: Final = (
    "file_search",
    "web_search",
    "web_search_preview",
    "web_search_2025_08_26",
    "web_search_preview_2025_03_11",
    "computer_use_preview",
    "code_interpreter",
    "image_generation",
    "mcp",
    "shell",
    "apply_patch",
)
MAX_TOOLS: Final = 1024
MAX_CACHED: Final = 256 * 1024
"""Bytes of a tool list that is remembered: larger ones would hold memory that nobody bounds."""
MAX_FUNCTION_NAME: Final = 128
_FUNCTION_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")

_decode_list = msgspec.json.Decoder(list[Fields]).decode
_decode_any = msgspec.json.Decoder(str | Fields).decode


class Tools(Struct, frozen=True):
    """Tools for the engine and their normalised JSON for the echo."""

    tools: tuple[Tool, ...]
    echo: bytes


def read_tools(raw: bytes) -> Tools:
    """Return the tools of a request. Raises RequestError with the path of what is wrong."""
    return _read_cached(raw) if len(raw) <= MAX_CACHED else _read_tools(raw)


def _read_tools(raw: bytes) -> Tools:
    try:
        fields = _decode_list(raw)
    except msgspec.ValidationError as error:
        raise RequestError(
            "Invalid type for 'tools': expected an array of objects.", param="tools", code="invalid_type"
        ) from error
    if len(fields) > MAX_TOOLS:
        raise RequestError(f"Invalid 'tools': at most {MAX_TOOLS} tools are allowed.", param="tools")
    read = [_read_any(tool, f"tools[{index}]") for index, tool in enumerate(fields)]
    return Tools(tuple(tool for tools, _ in read for tool in tools), encode([echo for _, echo in read]))


_read_cached = lru_cache(maxsize=256)(_read_tools)


_read_tools_once = lru_cache(maxsize=256)(_read_tools)


def _read_any(fields: Fields, path: str) -> tuple[Sequence[Tool], Fields]:
    if fields.get("type") == "namespace":
        return _namespace(fields, path)
    tool, echo = _read_tool(fields, path)
    return (tool,), echo


def _namespace(fields: Fields, path: str) -> tuple[Sequence[Tool], Fields]:
    """Return the functions of a namespace, each under a name that is its own among all that the model sees."""
    name, about = _checked_name(fields, path), fields.get("description")
    if not isinstance(about, str):
        raise missing_parameter(f"{path}.description")
    members = fields.get("tools")
    if not isinstance(members, list):
        raise missing_parameter(f"{path}.tools")
    if len(cast("list[object]", members)) > MAX_TOOLS:
        raise RequestError(f"Invalid '{path}.tools': at most {MAX_TOOLS} tools are allowed.", param=f"{path}.tools")
    tools: list[FunctionTool] = []
    echoes: list[Fields] = []
    for index, member in enumerate(cast("list[object]", members)):
        tool, echo = _member(member, f"{path}.tools[{index}]")
        called = qualified_name(name, tool.name)
        if len(called) > MAX_FUNCTION_NAME:
            raise too_long(f"{path}.tools[{index}].name", len(called), maximum=MAX_FUNCTION_NAME)
        shown = f"{about}\n{tool.description}" if tool.description else about
        tools.append(msgspec.structs.replace(tool, name=called, description=shown, namespace=name))
        echoes.append(echo)
    return tools, fields | {"tools": echoes}


def _member(value: object, path: str) -> tuple[FunctionTool, Fields]:
    if not isinstance(value, dict):
        raise RequestError(f"Invalid type for '{path}': expected an object.", param=path, code="invalid_type")
    fields = cast("Fields", value)
    kind = fields.get("type")
    if kind == "custom":
        raise RequestError(
            "Tool 'custom' of a namespace is not available on this server.", param=path, code="unsupported_tool"
        )
    if kind != "function":
        raise invalid_value(f"{path}.type", kind, ("function", "custom"))
    return _function(fields, path)


def _read_tool(fields: Fields, path: str) -> tuple[Tool, Fields]:
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise missing_parameter(f"{path}.type")
    if kind == "function":
        return _function(fields, path)
    if kind == "file_search":
        return _file_search(fields, path)
    if kind in WEB_SEARCH:
        return read_web_search(fields, path)
    if kind == "mcp":
        return read_mcp(fields, path)
    return HostedTool(kind, Raw(encode(fields))), fields


def _checked_name(fields: Fields, path: str) -> str:
    name = fields.get("name")
    if name is None:
        raise missing_parameter(f"{path}.name")
    if isinstance(name, str) and len(name) > MAX_FUNCTION_NAME:
        raise too_long(f"{path}.name", len(name), maximum=MAX_FUNCTION_NAME)
    if not isinstance(name, str) or _FUNCTION_NAME.fullmatch(name) is None:
        raise RequestError(
            f"Invalid '{path}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            param=f"{path}.name",
            code="invalid_value",
        )
    return name


def _function(fields: Fields, path: str) -> tuple[FunctionTool, Fields]:
    name = _checked_name(fields, path)
    parameters = fields.get("parameters")
    if parameters is not None and not _is_object(parameters):
        raise RequestError(
            f"Invalid type for '{path}.parameters': expected an object.",
            param=f"{path}.parameters",
            code="invalid_type",
        )
    strict = fields.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise RequestError(
            f"Invalid type for '{path}.strict': expected a boolean.", param=f"{path}.strict", code="invalid_type"
        )
    if parameters is not None:
        schema = cast("Fields", parameters)
        check_parameters(schema, name=name, param=f"{path}.parameters", strict=strict is True)
    description = fields.get("description")
    tool = FunctionTool(
        name=name,
        description=description if isinstance(description, str) else None,
        parameters=Raw(encode(parameters)) if parameters is not None else None,
        strict=strict is True,
    )
    echo: Fields = {"type": "function", "description": None, "name": name, "parameters": None, "strict": False}
    return tool, echo | fields | {"strict": strict is True}


def _file_search(fields: Fields, path: str) -> tuple[Tool, Fields]:
    ids = fields.get("vector_store_ids")
    if ids is None:
        raise missing_parameter(f"{path}.vector_store_ids")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in cast("list[object]", ids)):
        raise RequestError(
            f"Invalid type for '{path}.vector_store_ids': expected an array of strings.",
            param=f"{path}.vector_store_ids",
            code="invalid_type",
        )
    stores = tuple(cast("list[str]", ids))
    if not stores:
        raise RequestError(
            f"Invalid '{path}.vector_store_ids': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            param=f"{path}.vector_store_ids",
            code="empty_array",
        )
    limit = _count(fields, path)
    ranking = _ranking(fields.get("ranking_options"), f"{path}.ranking_options")
    filters = fields.get("filters")
    if filters is not None:
        try:
            decode_filter(filters, path=f"{path}.filters")
        except FilterError as error:
            raise RequestError(error.message, param=error.path, code="invalid_value") from error
    tool = FileSearchTool(stores, limit, ranking, Raw(encode(filters)) if filters is not None else None)
    options = {"ranker": ranking.ranker, "score_threshold": ranking.score_threshold}
    echo: Fields = {"type": "file_search", "filters": None, "max_num_results": 20, "ranking_options": options}
    return tool, echo | {name: value for name, value in fields.items() if value is not None}


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _count(fields: Fields, path: str) -> int | None:
    limit = fields.get("max_num_results")
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool):
        where = f"{path}.max_num_results"
        raise RequestError(f"Invalid type for '{where}': expected an integer.", param=where, code="invalid_type")
    if not 1 <= limit <= 50:
        raise out_of_range(f"{path}.max_num_results", limit, low=1, high=50)
    return limit


def _ranking(value: object, path: str) -> RankingOptions:
    if value is None:
        return RankingOptions()
    if not isinstance(value, dict):
        raise RequestError(f"Invalid type for '{path}': expected an object.", param=path, code="invalid_type")
    options = cast("Fields", value)
    ranker = options.get("ranker") or "auto"
    if ranker not in ("auto", "none", "default-2024-11-15", "default_2024_08_21", "default-2024-08-21"):
        raise invalid_value(f"{path}.ranker", ranker, ("auto", "default-2024-11-15"))
    hybrid = options.get("hybrid_search")
    weights = cast("Fields", hybrid) if isinstance(hybrid, dict) else {}
    embedding = _share(weights, "embedding_weight", f"{path}.hybrid_search", high=None)
    text = _share(weights, "text_weight", f"{path}.hybrid_search", high=None)
    if weights and not (embedding or text):
        raise RequestError(
            "At least one of 'embedding_weight' and 'text_weight' must be greater than zero.",
            param=f"{path}.hybrid_search",
            code="invalid_value",
        )
    threshold = _share(options, "score_threshold", path, high=1.0)
    return RankingOptions(str(ranker), threshold or 0.0, embedding, text)


def _share(fields: Mapping[str, object], name: str, path: str, *, high: float | None) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"Invalid type for '{path}.{name}': expected a decimal.", param=f"{path}.{name}")
    if value < 0 or (high is not None and value > high):
        raise out_of_range(f"{path}.{name}", float(value), low=0.0, high=high)
    return float(value)


def read_tool_choice(raw: bytes) -> ToolChoice:
    """Return the choice of a request, any of its nine forms. Raises RequestError."""
    try:
        value = _decode_any(raw)
    except msgspec.ValidationError as error:
        raise RequestError(
            "Invalid type for 'tool_choice': expected a string or an object.", param="tool_choice", code="invalid_type"
        ) from error
    if isinstance(value, str):
        if value not in ("none", "auto", "required"):
            raise invalid_value("tool_choice", value, ("none", "auto", "required"))
        return ToolChoice(value)
    kind = value.get("type")
    if kind == "allowed_tools":
        return _allowed(value)
    return ToolChoice("required", (_choice_name(value, "tool_choice"),))


def _allowed(value: Fields) -> ToolChoice:
    mode = value.get("mode")
    if mode not in ("auto", "required"):
        raise invalid_value("tool_choice.mode", mode, ("auto", "required"))
    tools = value.get("tools")
    if not isinstance(tools, list) or not tools:
        raise missing_parameter("tool_choice.tools")
    names: list[str] = []
    for index, tool in enumerate(cast("list[object]", tools)):
        path = f"tool_choice.tools[{index}]"
        if not isinstance(tool, dict):
            raise RequestError(f"Invalid type for '{path}': expected an object.", param=path, code="invalid_type")
        names.append(_choice_name(cast("Fields", tool), path))
    return ToolChoice(mode, tuple(names))


def _choice_name(value: Fields, path: str) -> str:
    kind = value.get("type")
    if kind in ("function", "custom"):
        name = value.get("name")
        if not isinstance(name, str):
            raise missing_parameter(f"{path}.name")
        return name
    if kind == "mcp":
        return _server_choice(value, path)
    if isinstance(kind, str) and kind in HOSTED_CHOICES:
        return WEB_SEARCH.get(kind, kind)
    raise invalid_value(f"{path}.type", kind, ("function", "custom", "allowed_tools", *HOSTED_CHOICES))


def _server_choice(value: Fields, path: str) -> str:
    label, name = value.get("server_label"), value.get("name")
    if not isinstance(label, str):
        raise missing_parameter(f"{path}.server_label")
    return f"mcp:{label}:{name}" if isinstance(name, str) else f"mcp:{label}"
