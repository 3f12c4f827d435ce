"""Items → chat messages. A fragment is the messages of some items, each as JSON and followed by a comma, so that
fragments concatenate by concatenating bytes and history is never encoded twice.

Must not know how a request is sent. Hosted calls of earlier turns and unknown items render as nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from onward.core.errors import RequestError
from onward.core.items import (
    ContentPart,
    Item,
    read_function_call,
    read_function_call_output,
    read_message,
    read_reasoning,
)
from onward.core.tools import qualified_name
from onward.models.profiles import Profile


class FunctionBody(Struct):
    """Name and arguments of a call in history."""

    name: str
    arguments: str


class CallBody(Struct):
    """A call in history."""

    id: str
    function: FunctionBody
    type: Literal["function"] = "function"


class ImageUrl(Struct, omit_defaults=True):
    """Where an image is: an http(s) or data URL."""

    url: str
    detail: str | None = None


class FileBody(Struct, omit_defaults=True):
    """A file inside a message."""

    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None


class Part(Struct, omit_defaults=True, rename={"kind": "type"}):
    """A content part of a chat message."""

    kind: str
    text: str | None = None
    image_url: ImageUrl | None = None
    file: FileBody | None = None


class ChatMessage(Struct, omit_defaults=True):
    """A chat message. `content` is always written, null where there is only a call."""

    role: str
    content: str | list[Part] | None
    reasoning_content: str | None = None
    tool_calls: list[CallBody] = []
    tool_call_id: str | None = None
    name: str | None = None


class _Call(Struct):
    name: str
    arguments: Raw


class _CallText(Struct):
    call: _Call


_encode = msgspec.json.Encoder().encode
_USER_ROLES = ("user", "system", "developer")


def render_items(items: Iterable[Item], profile: Profile) -> bytes:
    """Return the fragment of `items`. Raises RequestError for content that the model cannot take."""
    renderer = _Renderer(profile)
    for item in items:
        renderer.add(item)
    return renderer.finish()


def render_message(role: str, content: str) -> bytes:
    """Return the fragment of one message with plain text."""
    return _encode(ChatMessage(role=role, content=content)) + b","


class _Renderer:
    """Keeps the open assistant message, to which consecutive calls of one turn belong, and images of tool outputs,
    which only a user message can carry and which must not come between the outputs."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._constrained = profile.capabilities.tool_mode == "constrained"
        self._out: list[bytes] = []
        self._assistant: ChatMessage | None = None
        self._reasoning: str | None = None
        self._images: list[Part] = []

    def add(self, item: Item) -> None:
        match item.type:
            case "message":
                self._add_message(item)
            case "function_call":
                self._add_call(item)
            case "function_call_output":
                self._add_output(item)
            case "reasoning" if self._profile.replay_reasoning:
                self._add_reasoning(item)
            case _:
                pass

    def finish(self) -> bytes:
        self._close_assistant()
        self._close_images()
        return b"".join(self._out)

    def _write(self, message: ChatMessage) -> None:
        self._out.append(_encode(message))
        self._out.append(b",")

    def _add_message(self, item: Item) -> None:
        message = read_message(item.body)
        self._close_images()
        if message.role == "assistant":
            self._add_answer(_assistant_text(message.content), message.name)
            return
        self._close_assistant()
        if message.role not in _USER_ROLES:
            return
        role = self._profile.developer_role if message.role == "developer" else message.role
        content = message.content
        said = content if isinstance(content, str) else self._parts(content)
        self._write(ChatMessage(role=role, content=said, name=message.name))

    def _add_answer(self, text: str, name: str | None) -> None:
        """Text beside calls stays in their message: nothing may stand between calls and their outputs."""
        current = self._assistant
        if current is None or (current.content is not None and not current.tool_calls):
            current = self._open_assistant()
        current.content = text if current.content is None else f"{current.content}\n{text}"
        current.name = name or current.name

    def _add_call(self, item: Item) -> None:
        call = read_function_call(item.body)
        name = qualified_name(call.namespace, call.name)
        self._close_images()
        if self._constrained:
            self._close_assistant()
            text = _encode(_CallText(call=_Call(name=name, arguments=_arguments(call.arguments)))).decode()
            self._write(ChatMessage(role="assistant", content=text))
            return
        current = self._assistant or self._open_assistant()
        function = FunctionBody(name=name, arguments=call.arguments or "{}")
        current.tool_calls = [*current.tool_calls, CallBody(id=call.call_id, function=function)]

    def _add_output(self, item: Item) -> None:
        output = read_function_call_output(item.body)
        self._close_assistant()
        text = output.output if isinstance(output.output, str) else self._output_text(output.output)
        if self._constrained:
            self._write(ChatMessage(role="user", content=f"Result of the function call:\n{text}"))
        else:
            self._write(ChatMessage(role="tool", content=text, tool_call_id=output.call_id))

    def _output_text(self, parts: Sequence[ContentPart]) -> str:
        texts = [part.text for part in parts if part.text is not None]
        others = [part for part in parts if part.text is None]
        content = self._parts(others) if others else None
        if isinstance(content, list):
            self._images.extend(content)
        return "\n".join(texts)

    def _add_reasoning(self, item: Item) -> None:
        reasoning = read_reasoning(item.body)
        self._close_assistant()
        self._reasoning = "".join(part.text for part in reasoning.content or ()) or None

    def _open_assistant(self) -> ChatMessage:
        self._close_assistant()
        self._assistant = message = ChatMessage(role="assistant", content=None, reasoning_content=self._reasoning)
        self._reasoning = None
        return message

    def _close_assistant(self) -> None:
        if self._assistant is not None:
            self._write(self._assistant)
            self._assistant = None

    def _close_images(self) -> None:
        if self._images:
            self._write(ChatMessage(role="user", content=self._images))
            self._images = []

    def _parts(self, parts: Sequence[ContentPart]) -> str | list[Part]:
        """Return a string where all parts are text, because not every upstream takes a list."""
        if all(part.text is not None or part.refusal is not None for part in parts):
            return "\n".join(part.text or part.refusal or "" for part in parts)
        return [rendered for part in parts if (rendered := self._part(part)) is not None]

    def _part(self, part: ContentPart) -> Part | None:
        if part.text is not None:
            return Part(kind="text", text=part.text)
        match part.kind:
            case "input_image":
                return self._image(part)
            case "input_file":
                return self._file(part)
            case _:
                return None

    def _image(self, part: ContentPart) -> Part:
        if not self._profile.capabilities.images:
            raise RequestError("This model does not take images.", param="input", code="unsupported_content")
        if part.image_url is None:
            raise RequestError(
                "An image needs an image_url or the id of a stored file.", param="input", code="invalid_image"
            )
        detail = part.detail if part.detail in ("low", "high") else None
        return Part(kind="image_url", image_url=ImageUrl(url=part.image_url, detail=detail))

    def _file(self, part: ContentPart) -> Part:
        if not self._profile.files or part.file_data is None:
            raise RequestError(
                "This model does not take this file as input. Use file_search on it, or send its text.",
                param="input",
                code="unsupported_content",
            )
        return Part(kind="file", file=FileBody(filename=part.filename or "file", file_data=part.file_data))


def _assistant_text(content: str | Sequence[ContentPart]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text or part.refusal or "" for part in content)


def _arguments(text: str) -> Raw:
    """Return the arguments as JSON; text that is no JSON is kept as a JSON string."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return Raw(_encode(text or {}))
    return Raw(text.encode())
