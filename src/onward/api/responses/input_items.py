"""Input items: three shapes of a message, references, calls and outputs, and types nobody knows yet, as stored items.

What the contract requires of known types is checked; unknown types and fields are kept as they came.
"""

from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec
from msgspec import Raw, Struct

from onward.api.body import describe_mismatch
from onward.api.errors import invalid_value, missing_parameter, too_long
from onward.api.image_data import check_image_data
from onward.core.errors import RequestError
from onward.core.ids import ITEM_PREFIXES, new_item_id
from onward.core.items import (
    Item,
    encode,
    read_function_call,
    read_function_call_output,
    read_message,
    read_reasoning,
)
from onward.core.tokens import MESSAGE_OVERHEAD, estimate_tokens

Fields = dict[str, object]

ROLES: Final = ("assistant", "system", "developer", "user")
INPUT_PARTS: Final = ("input_text", "input_image", "input_file")
OUTPUT_PARTS: Final = ("output_text", "refusal")

CHECKED_PREFIXES: Final = ("message", "function_call", "reasoning", "file_search_call", "code_interpreter_call")
MAX_CALL_ID: Final = 64
MAX_STRING: Final = 10 * 1024 * 1024

_decode = msgspec.json.Decoder(Fields).decode


class Supplied(Struct, frozen=True):
    """Input as items, in order; a reference stands as its id. `named` are the ids that the client gave."""

    items: tuple[Item | str, ...]
    named: frozenset[str]


def read_input(value: str | Sequence[Raw], *, param: str = "input") -> Supplied:
    """Return the items of an input. Raises RequestError with the path of what is wrong."""
    if isinstance(value, str):
        if len(value) > MAX_STRING:
            raise too_long(param, len(value), maximum=MAX_STRING)
        return Supplied((easy_message("user", value),), frozenset())
    items: list[Item | str] = []
    named: set[str] = set()
    for index, raw in enumerate(value):
        path = f"{param}[{index}]"
        fields = _object(raw, path)
        item_id = fields.get("id")
        item = read_item(fields, path)
        if isinstance(item, Item) and isinstance(item_id, str) and item_id:
            named.add(item_id)
        items.append(item)
    return Supplied(tuple(items), frozenset(named))


def easy_message(role: str, text: str) -> Item:
    """Return a message of one text part."""
    return _message({"role": role, "content": text}, "input")


def read_item(fields: Fields, path: str) -> Item | str:
    """Return one item, or the id that an item reference names. Raises RequestError."""
    kind = fields.get("type")
    if kind is None:
        if "role" in fields:
            kind = "message"
        elif isinstance(fields.get("id"), str):
            kind = "item_reference"
        else:
            raise missing_parameter(f"{path}.type")
    if not isinstance(kind, str) or not kind:
        raise RequestError(
            f"Invalid type for '{path}.type': expected a string.", param=f"{path}.type", code="invalid_type"
        )
    if kind == "item_reference":
        return _string(fields, "id", path)
    _check_id(fields, kind, path)
    reader = _READERS.get(kind)
    item = reader(fields, path) if reader is not None else _opaque(fields, kind)
    _check_view(item, path)
    return item


def _check_view(item: Item, path: str) -> None:
    """Raise RequestError for an item that the engine could not read later."""
    view = _VIEWS.get(item.type)
    if view is None:
        return
    try:
        view(item.body)
    except msgspec.ValidationError as error:
        raise describe_mismatch(str(error), at=path) from error


def _object(raw: Raw, path: str) -> Fields:
    try:
        return _decode(raw)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"Invalid type for '{path}': expected an object.", param=path, code="invalid_type"
        ) from error


def _string(fields: Fields, name: str, path: str, *, maximum: int | None = None) -> str:
    value = fields.get(name)
    where = f"{path}.{name}"
    if value is None:
        raise missing_parameter(where)
    if not isinstance(value, str):
        raise RequestError(f"Invalid type for '{where}': expected a string.", param=where, code="invalid_type")
    if maximum is not None and len(value) > maximum:
        raise too_long(where, len(value), maximum=maximum)
    return value


def _check_id(fields: Fields, kind: str, path: str) -> None:
    item_id = fields.get("id")
    if item_id is None:
        return
    value = _string(fields, "id", path, maximum=512)
    if kind in CHECKED_PREFIXES:
        prefix = ITEM_PREFIXES[kind].rstrip("_")
        if not value.startswith(prefix):
            raise RequestError(
                f"Invalid '{path}.id': '{value}'. Expected an ID that begins with '{prefix}'.",
                param=f"{path}.id",
                code="invalid_value",
            )


def _message(fields: Fields, path: str) -> Item:
    role = _string(fields, "role", path)
    if role not in ROLES:
        raise invalid_value(f"{path}.role", role, ROLES)
    content = fields.get("content")
    if content is None:
        raise missing_parameter(f"{path}.content")
    if isinstance(content, str):
        if len(content) > MAX_STRING:
            raise too_long(f"{path}.content", len(content), maximum=MAX_STRING)
        parts = [_text_part(role, content)]
        tokens = estimate_tokens(content)
    elif isinstance(content, list):
        parts = [read_part(role, part, f"{path}.content[{i}]") for i, part in enumerate(cast("list[object]", content))]
        tokens = _tokens(parts)
    else:
        raise RequestError(
            f"Invalid type for '{path}.content': expected one of an array of objects or string.",
            param=f"{path}.content",
            code="invalid_type",
        )
    status = fields.get("status")
    head: Fields = {
        "id": fields.get("id") or new_item_id("message"),
        "type": "message",
        "status": status if status in ("completed", "incomplete", "in_progress") else "completed",
        "role": role,
        "content": parts,
    }
    rest = {name: value for name, value in fields.items() if name not in head}
    return Item(cast("str", head["id"]), "message", encode(head | rest), role, None, tokens + MESSAGE_OVERHEAD)


def _text_part(role: str, text: str) -> Fields:
    if role == "assistant":
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"type": "input_text", "text": text}


def read_part(role: str, part: object, path: str) -> Fields:
    """Return a content part of a message of `role`. Raises RequestError."""
    if not isinstance(part, dict):
        raise RequestError(f"Invalid type for '{path}': expected an object.", param=path, code="invalid_type")
    fields = cast("Fields", part)
    kind = _string(fields, "type", path)
    allowed, refused = (OUTPUT_PARTS, INPUT_PARTS) if role == "assistant" else (INPUT_PARTS, OUTPUT_PARTS)
    if kind not in allowed:
        raise invalid_value(path if kind in refused else f"{path}.type", kind, allowed)
    if kind in ("input_text", "output_text"):
        _string(fields, "text", path, maximum=MAX_STRING)
    if kind == "output_text":
        given = {name: value for name, value in fields.items() if name != "annotations" or value is not None}
        defaults: Fields = {"annotations": [], "logprobs": []}
        return defaults | given
    if kind == "input_image":
        return _image_part(fields, path)
    if kind == "input_file" and not any(fields.get(name) for name in ("file_id", "file_url", "file_data")):
        raise missing_parameter(f"{path}.file_id")
    return fields


def _image_part(fields: Fields, path: str) -> Fields:
    if not fields.get("image_url") and not fields.get("file_id"):
        raise missing_parameter(f"{path}.image_url")
    if fields.get("image_url"):
        url = _string(fields, "image_url", path)
        if not url.startswith(("https://", "http://", "data:")):
            raise RequestError(
                f"Invalid '{path}.image_url'. Expected a valid URL, but got a value with an invalid format.",
                param=f"{path}.image_url",
                code="invalid_value",
            )
        if url.startswith("data:"):
            check_image_data(url, f"{path}.image_url")
    return {"detail": "auto"} | fields


def _tokens(parts: Sequence[Fields]) -> int:
    total = 0
    for part in parts:
        text = part.get("text")
        total += estimate_tokens(text) if isinstance(text, str) else 300
    return total


def _identified(fields: Fields, kind: str) -> Fields:
    head: Fields = {"id": fields.get("id") or new_item_id(kind), "type": kind}
    return head | {name: value for name, value in fields.items() if name not in head}


def _item(fields: Fields, kind: str, call_id: str | None = None) -> Item:
    whole = _identified(fields, kind)
    body = encode(whole)
    return Item(cast("str", whole["id"]), kind, body, None, call_id, estimate_tokens(body))


def _function_call(fields: Fields, path: str) -> Item:
    call_id = _string(fields, "call_id", path, maximum=MAX_CALL_ID)
    _string(fields, "name", path, maximum=128)
    _string(fields, "arguments", path, maximum=MAX_STRING)
    if fields.get("namespace") is not None:
        _string(fields, "namespace", path, maximum=128)
    return _item({"status": "completed"} | fields, "function_call", call_id)


def _function_call_output(fields: Fields, path: str) -> Item:
    call_id = _string(fields, "call_id", path, maximum=MAX_CALL_ID) if fields.get("call_id") is not None else None
    output = fields.get("output")
    if output is None:
        raise missing_parameter(f"{path}.output")
    if isinstance(output, list):
        parts = [read_part("user", part, f"{path}.output[{i}]") for i, part in enumerate(cast("list[object]", output))]
        fields = fields | {"output": parts}
    else:
        _string(fields, "output", path, maximum=MAX_STRING)
    return _item({"status": "completed"} | fields, "function_call_output", call_id)


def _custom_output(fields: Fields, path: str) -> Item:
    call_id = _string(fields, "call_id", path, maximum=MAX_CALL_ID)
    if fields.get("output") is None:
        raise missing_parameter(f"{path}.output")
    return _item(fields, "custom_tool_call_output", call_id)


def _reasoning(fields: Fields, path: str) -> Item:
    if not isinstance(fields.get("summary", []), list):
        raise RequestError(
            f"Invalid type for '{path}.summary': expected an array.", param=f"{path}.summary", code="invalid_type"
        )
    defaults: Fields = {"summary": []}
    return _item(defaults | fields, "reasoning")


def _approval_response(fields: Fields, path: str) -> Item:
    _string(fields, "approval_request_id", path)
    if not isinstance(fields.get("approve"), bool):
        if fields.get("approve") is None:
            raise missing_parameter(f"{path}.approve")
        raise RequestError(
            f"Invalid type for '{path}.approve': expected a boolean.", param=f"{path}.approve", code="invalid_type"
        )
    if fields.get("reason") is not None:
        _string(fields, "reason", path, maximum=MAX_STRING)
    return _item(fields, "mcp_approval_response")


def _opaque(fields: Fields, kind: str) -> Item:
    call_id = fields.get("call_id")
    return _item(fields, kind, call_id if isinstance(call_id, str) and len(call_id) <= MAX_CALL_ID else None)


_READERS: Final[dict[str, Callable[[Fields, str], Item]]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _function_call_output,
    "custom_tool_call_output": _custom_output,
    "reasoning": _reasoning,
    "mcp_approval_response": _approval_response,
}

_VIEWS: Final[dict[str, Callable[[bytes], object]]] = {
    "message": read_message,
    "function_call": read_function_call,
    "function_call_output": read_function_call_output,
    "reasoning": read_reasoning,
}
