"""The item: an immutable atom of a conversation, in the encoding that every dialect converts from and to.

The stored encoding of an item is one JSON object in the shape of a Responses item, because that shape is a superset of
what the other dialects can express. What a client sent is kept (plus id and status): unknown types and fields survive.
This module must not know rows, wire envelopes or model protocols.
"""

from typing import Final, Literal

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

CALL_TYPES: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
"""Items that ask the client for an output."""

OUTPUT_OF: Final[dict[str, str]] = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
    "computer_call_output": "computer_call",
    "local_shell_call_output": "local_shell_call",
    "shell_call_output": "shell_call",
    "apply_patch_call_output": "apply_patch_call",
}
"""Item type of an output → item type of its call."""


class Item(Struct, frozen=True):
    """One item. `body` is its whole JSON object, `id` and `type` included."""

    id: str
    type: str
    body: bytes
    role: str | None = None
    call_id: str | None = None
    tokens: int = 0


class Citation(Struct, frozen=True, rename={"kind": "type"}):
    """Support for a range of an answer. Ranges are in code points; `index` is where a marker would stand."""

    file_id: str
    filename: str
    index: int
    kind: Literal["file_citation"] = "file_citation"
    start_index: int | None = None
    end_index: int | None = None
    quote: str | None = None
    page: int | None = None
    document_start: int | None = None
    document_end: int | None = None


class UrlCitation(Struct, frozen=True, rename={"kind": "type"}):
    """Support for a range of an answer, in code points, by a page of the web."""

    url: str
    title: str
    start_index: int
    end_index: int
    kind: Literal["url_citation"] = "url_citation"


Cited = Citation | UrlCitation


class ContentPart(Struct, frozen=True, omit_defaults=True, rename={"kind": "type"}):
    """Any content part of a message or of a tool output; fields not of its type are absent."""

    kind: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    detail: str | None = None
    annotations: tuple[Raw, ...] = ()


class Message(Struct, frozen=True, omit_defaults=True):
    """The view of a `message` item."""

    role: str
    content: str | tuple[ContentPart, ...] = ()
    status: str | None = None
    phase: str | None = None
    name: str | None = None


class FunctionCall(Struct, frozen=True, omit_defaults=True):
    """The view of a `function_call` item."""

    call_id: str
    name: str
    arguments: str = ""
    namespace: str | None = None


class FunctionCallOutput(Struct, frozen=True, omit_defaults=True):
    """The view of a `function_call_output` item."""

    call_id: str = ""
    output: str | tuple[ContentPart, ...] = ""


class SearchResult(Struct, frozen=True):
    """One passage of a `file_search_call`, with what is needed to cite it."""

    file_id: str
    filename: str
    score: float
    text: str
    attributes: dict[str, str | float | bool] = {}


class FileSearchCall(Struct, frozen=True, omit_defaults=True):
    """The view of a `file_search_call` item."""

    queries: tuple[str, ...] = ()
    results: tuple[SearchResult, ...] | None = None
    status: str | None = None


class ReasoningText(Struct, frozen=True):
    """A part of a reasoning item."""

    text: str


class Reasoning(Struct, frozen=True, omit_defaults=True):
    """The view of a `reasoning` item."""

    summary: tuple[ReasoningText, ...] = ()
    content: tuple[ReasoningText, ...] | None = None
    encrypted_content: str | None = None


_encode = Encoder().encode
read_message = Decoder(Message).decode
read_function_call = Decoder(FunctionCall).decode
read_function_call_output = Decoder(FunctionCallOutput).decode
read_file_search_call = Decoder(FileSearchCall).decode
read_reasoning = Decoder(Reasoning).decode


def item_text(item: Item) -> str:
    """Return the text of a message item, its parts joined by line ends; an empty string for other items."""
    if item.type != "message":
        return ""
    content = read_message(item.body).content
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if part.text)


def encode(value: object) -> bytes:
    """Return `value` as compact JSON."""
    return _encode(value)
