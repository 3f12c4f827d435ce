"""Chat messages → stored items: roles and contents checked, calls paired with what answers them.

An item is made in the form that the engine gives its own output, so that a history that comes back is recognised.
"""

from collections.abc import Sequence
from typing import Final

from onward.api.chat.wire import MessageField, PartField, ToolCallField, is_given
from onward.api.errors import invalid_value, missing_parameter, too_long
from onward.api.image_data import check_image_data
from onward.core import compose
from onward.core.errors import RequestError
from onward.core.ids import new_item_id
from onward.core.items import Item, encode
from onward.core.tokens import MESSAGE_OVERHEAD, estimate_tokens

Fields = dict[str, object]

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
USER_PARTS: Final = ("text", "image_url", "input_audio", "file")
ANSWER_PARTS: Final = ("text", "refusal")
TEXT_PARTS: Final = ("text",)

MAX_MESSAGES: Final = 2048
MAX_CALLS: Final = 128
MAX_STRING: Final = 10 * 1024 * 1024
MAX_CALL_ID: Final = 256
IMAGE_TOKENS: Final = 300
"""Counted for a part that is no text."""


def read_messages(messages: Sequence[MessageField]) -> tuple[Item, ...]:
    """Return the items of a history. Raises RequestError with the path of what is wrong."""
    if not messages:
        raise RequestError(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    _check_length("messages", messages, MAX_MESSAGES)
    reader = _Reader(_current_loop(messages))
    for index, message in enumerate(messages):
        reader.add(index, message)
    reader.check_answered(len(messages))
    return tuple(reader.items)


def _current_loop(messages: Sequence[MessageField]) -> int:
    """Return where the model's current work begins: reasoning before the last question is not read again."""
    return max((index for index, message in enumerate(messages) if message.role == "user"), default=0)


def _check_length(param: str, values: Sequence[object], maximum: int) -> None:
    if len(values) > maximum:
        raise RequestError(
            f"Invalid '{param}': array too long. Expected an array with maximum length {maximum}, but got an array "
            f"with length {len(values)} instead.",
            param=param,
            code="array_above_max_length",
        )


class _Reader:
    """Reads messages in order; `waiting` are the calls that need an answer before anything else may come."""

    def __init__(self, loop_start: int) -> None:
        self.items: list[Item] = []
        self._loop_start = loop_start
        self._waiting: dict[str, str] = {}
        """Call id → name of the function."""
        self._legacy = False

    def add(self, index: int, message: MessageField) -> None:
        """Read one message."""
        path = f"messages[{index}]"
        match message.role:
            case "tool":
                self._add_tool(message, path)
            case "function":
                self._add_function(message, path)
            case "assistant":
                self.check_answered(index)
                self._add_answer(index, message, path)
            case "user" | "system" | "developer":
                self.check_answered(index)
                self.items.append(_message(message, path))
            case _:
                raise invalid_value(f"{path}.role", message.role, ROLES)

    def check_answered(self, index: int) -> None:
        """Raise RequestError where calls still wait at message `index`."""
        if not self._waiting:
            return
        param = f"messages[{index}].role" if index else "messages"
        if self._legacy:
            name = next(iter(self._waiting.values()))
            text = f"An assistant message with 'function_call' must be followed by a function message named '{name}'."
        else:
            text = (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: "
                f"{', '.join(self._waiting)}"
            )
        raise RequestError(text, param=param)

    def _add_answer(self, index: int, message: MessageField, path: str) -> None:
        if is_given(message.audio):
            raise _unsupported(f"{path}.audio", "Audio is")
        calls = message.tool_calls or []
        if calls and message.function_call is not None:
            raise RequestError(f"'{path}' has both 'tool_calls' and 'function_call'.", param=path, code="invalid_value")
        parts = _answer_parts(message, path)
        called = bool(calls) or message.function_call is not None
        if not parts and not called:
            raise _no_content(path)
        if message.reasoning_content and index > self._loop_start:
            self.items.append(compose.reasoning(new_item_id("reasoning"), message.reasoning_content))
        if parts and not (called and _is_empty(parts)):
            self.items.append(_item("assistant", parts, message.name))
        _check_length(f"{path}.tool_calls", calls, MAX_CALLS)
        for number, call in enumerate(calls):
            self._add_call(call, f"{path}.tool_calls[{number}]")
        if message.function_call is not None:
            # The older form has no ids; a place in the history is one that stays the same when it is sent again.
            function = message.function_call
            self._call(f"call_function_{index}", function.name, function.arguments, f"{path}.function_call")
            self._legacy = True

    def _add_call(self, call: ToolCallField, path: str) -> None:
        if call.type == "custom":
            raise _unsupported(f"{path}.type", "Calls of custom tools are")
        if call.type != "function":
            raise invalid_value(f"{path}.type", call.type, ("function", "custom"))
        if call.function is None:
            raise missing_parameter(f"{path}.function")
        if call.id in self._waiting:
            raise RequestError(
                f"Duplicate value for '{path}.id': '{call.id}'.", param=f"{path}.id", code="invalid_value"
            )
        self._legacy = False
        self._call(call.id, call.function.name, call.function.arguments, path)

    def _call(self, call_id: str, name: str, arguments: str, path: str) -> None:
        for field, value, maximum in (("id", call_id, MAX_CALL_ID), ("arguments", arguments, MAX_STRING)):
            if len(value) > maximum:
                raise too_long(f"{path}.{field}", len(value), maximum=maximum)
        if not call_id or not name:
            raise missing_parameter(f"{path}.{'name' if call_id else 'id'}")
        self._waiting[call_id] = name
        item_id = new_item_id("function_call")
        self.items.append(compose.function_call(item_id, call_id=call_id, name=name, arguments=arguments))

    def _add_tool(self, message: MessageField, path: str) -> None:
        if message.tool_call_id is None:
            raise missing_parameter(f"{path}.tool_call_id")
        if self._legacy or self._waiting.pop(message.tool_call_id, None) is None:
            raise RequestError(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                "'tool_calls'.",
                param=f"{path}.role",
            )
        self._answer(message.tool_call_id, message, path)

    def _add_function(self, message: MessageField, path: str) -> None:
        if message.name is None:
            raise missing_parameter(f"{path}.name")
        call_id = next((call for call, name in self._waiting.items() if name == message.name), None)
        if not self._legacy or call_id is None:
            raise RequestError(
                "Invalid parameter: messages with role 'function' must be a response to a preceeding message with "
                "'function_call'.",
                param=f"{path}.role",
            )
        del self._waiting[call_id]
        self._answer(call_id, message, path)

    def _answer(self, call_id: str, message: MessageField, path: str) -> None:
        content = message.content
        if content is None and message.role == "function":
            content = ""
        if content is None:
            raise _no_content(path)
        item_id = new_item_id("function_call_output")
        if isinstance(content, str):
            _check_text(content, f"{path}.content")
            self.items.append(compose.function_call_output(item_id, call_id=call_id, output=content))
            return
        parts = [_part(part, TEXT_PARTS, f"{path}.content[{i}]") for i, part in enumerate(content)]
        head: Fields = {"id": item_id, "type": "function_call_output", "status": "completed"}
        body = encode(head | {"call_id": call_id, "output": parts})
        self.items.append(Item(item_id, "function_call_output", body, None, call_id, _tokens(parts)))


def _message(message: MessageField, path: str) -> Item:
    content = message.content
    if content is None:
        raise _no_content(path)
    if isinstance(content, str):
        _check_text(content, f"{path}.content")
        return _item(message.role, [{"type": "input_text", "text": content}], message.name)
    if not content:
        raise RequestError(
            f"Invalid '{path}.content': empty array. Expected an array with minimum length 1, but got an empty array "
            "instead.",
            param=f"{path}.content",
            code="empty_array",
        )
    allowed = USER_PARTS if message.role == "user" else TEXT_PARTS
    parts = [_part(part, allowed, f"{path}.content[{index}]") for index, part in enumerate(content)]
    return _item(message.role, parts, message.name)


def _item(role: str, parts: Sequence[Fields], name: str | None) -> Item:
    item_id = new_item_id("message")
    body: Fields = {"id": item_id, "type": "message", "status": "completed", "role": role, "content": parts}
    if name is not None:
        body["name"] = name
    return Item(item_id, "message", encode(body), role, None, _tokens(parts))


def _tokens(parts: Sequence[Fields]) -> int:
    total = MESSAGE_OVERHEAD
    for part in parts:
        text = part.get("text", part.get("refusal"))
        total += estimate_tokens(text) if isinstance(text, str) else IMAGE_TOKENS
    return total


def _is_empty(parts: Sequence[Fields]) -> bool:
    return not any(part.get("text") or part.get("refusal") for part in parts)


def _answer_parts(message: MessageField, path: str) -> list[Fields]:
    parts: list[Fields] = []
    if isinstance(message.content, str):
        parts.append(_answer_text(message.content, f"{path}.content"))
    else:
        for index, part in enumerate(message.content or ()):
            where = f"{path}.content[{index}]"
            if part.type == "refusal":
                parts.append(_refusal(part.refusal, where))
            else:
                read = _part(part, ANSWER_PARTS, where)
                parts.append(_answer_text(str(read["text"]), where))
    if message.refusal:
        parts.append(_refusal(message.refusal, path))
        if _is_empty(parts[:-1]):
            del parts[:-1]
    return parts


def _answer_text(text: str, path: str) -> Fields:
    _check_text(text, path)
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _refusal(text: str | None, path: str) -> Fields:
    if text is None:
        raise missing_parameter(f"{path}.refusal")
    _check_text(text, f"{path}.refusal")
    return {"type": "refusal", "refusal": text}


def _part(part: PartField, allowed: tuple[str, ...], path: str) -> Fields:
    if part.type not in allowed:
        raise invalid_value(f"{path}.type", part.type, allowed)
    match part.type:
        case "text":
            if part.text is None:
                raise missing_parameter(f"{path}.text")
            _check_text(part.text, f"{path}.text")
            return {"type": "input_text", "text": part.text}
        case "image_url":
            return _image(part, path)
        case "file":
            return _file(part, path)
        case _:
            raise _unsupported(f"{path}.type", "Audio is")


def _image(part: PartField, path: str) -> Fields:
    if part.image_url is None:
        raise missing_parameter(f"{path}.image_url")
    url, detail = part.image_url.url, part.image_url.detail or "auto"
    if not url.startswith(("https://", "http://", "data:")):
        raise RequestError(
            f"Invalid '{path}.image_url.url'. Expected a valid URL, but got a value with an invalid format.",
            param=f"{path}.image_url.url",
            code="invalid_value",
        )
    if url.startswith("data:"):
        check_image_data(url, f"{path}.image_url.url")
    if detail not in ("auto", "low", "high"):
        raise invalid_value(f"{path}.image_url.detail", detail, ("auto", "low", "high"))
    return {"detail": detail, "type": "input_image", "image_url": url}


def _file(part: PartField, path: str) -> Fields:
    file = part.file
    if file is None:
        raise missing_parameter(f"{path}.file")
    if not file.file_id and not file.file_data:
        raise missing_parameter(f"{path}.file.file_id")
    given = {"file_id": file.file_id, "file_data": file.file_data, "filename": file.filename}
    return {"type": "input_file", **{name: value for name, value in given.items() if value is not None}}


def _check_text(text: str, path: str) -> None:
    if len(text) > MAX_STRING:
        raise too_long(path, len(text), maximum=MAX_STRING)


def _no_content(path: str) -> RequestError:
    return RequestError(
        "Invalid value for 'content': expected a string, got null.", param=f"{path}.content", code="invalid_type"
    )


def _unsupported(param: str, what: str) -> RequestError:
    return RequestError(f"{what} not supported by this version of Onward.", param=param, code="unsupported_value")
