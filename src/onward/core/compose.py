"""Builds the stored form of items that the server itself produces. The inverse of the views in `items`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from onward.core.items import Cited, Item, encode
from onward.core.tokens import MESSAGE_OVERHEAD, estimate_tokens


def citation_json(citation: Cited) -> bytes:
    """Return a citation as an annotation object; fields that are not known are absent."""
    fields = {name: value for name, value in msgspec.to_builtins(citation).items() if value is not None}
    return encode(fields)


def text_part(text: str, citations: Sequence[Cited] = ()) -> bytes:
    """Return an `output_text` content part."""
    annotations = b",".join(map(citation_json, citations))
    return b'{"type":"output_text","annotations":[%b],"logprobs":[],"text":%b}' % (annotations, encode(text))


def refusal_part(text: str) -> bytes:
    """Return a `refusal` content part."""
    return b'{"type":"refusal","refusal":%b}' % encode(text)


def message(item_id: str, parts: Sequence[bytes], *, text: str, status: str = "completed") -> Item:
    """Return an assistant message of encoded content parts; `text` is what its tokens are estimated from."""
    body = b'{"id":%b,"type":"message","status":%b,"role":"assistant","content":[%b]}' % (
        encode(item_id),
        encode(status),
        b",".join(parts),
    )
    return Item(item_id, "message", body, "assistant", None, estimate_tokens(text) + MESSAGE_OVERHEAD)


def function_call(
    item_id: str, *, call_id: str, name: str, arguments: str, status: str = "completed", namespace: str | None = None
) -> Item:
    """Return a `function_call` item."""
    body = b'{"id":%b,"type":"function_call","status":%b,"arguments":%b,"call_id":%b,"name":%b%b}' % (
        encode(item_id),
        encode(status),
        encode(arguments),
        encode(call_id),
        encode(name),
        namespace_member(namespace),
    )
    tokens = estimate_tokens(arguments) + estimate_tokens(name) + MESSAGE_OVERHEAD
    return Item(item_id, "function_call", body, None, call_id, tokens)


def namespace_member(namespace: str | None) -> bytes:
    """Return the member of a call that names its namespace, empty where it has none."""
    return b"" if namespace is None else b',"namespace":%b' % encode(namespace)


def function_call_output(item_id: str, *, call_id: str, output: str) -> Item:
    """Return a `function_call_output` item."""
    body = b'{"id":%b,"type":"function_call_output","status":"completed","call_id":%b,"output":%b}' % (
        encode(item_id),
        encode(call_id),
        encode(output),
    )
    return Item(item_id, "function_call_output", body, None, call_id, estimate_tokens(output) + MESSAGE_OVERHEAD)


def reasoning(item_id: str, text: str, *, status: str = "completed") -> Item:
    """Return a `reasoning` item whose content is `text`."""
    body = b'{"id":%b,"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":%b}],"status":%b}' % (
        encode(item_id),
        encode(text),
        encode(status),
    )
    return Item(item_id, "reasoning", body, None, None, estimate_tokens(text))


WITHOUT_STATUS: Final = frozenset({"mcp_list_tools", "mcp_approval_request"})
"""Items of tool servers that have no status of their own."""


def hosted_call(item_id: str, item_type: str, *, body: bytes, status: str, tokens: int = 0) -> Item:
    """Return the item of a hosted call; `body` is a JSON object without id, type and status."""
    head = b'{"id":%b,"type":%b' % (encode(item_id), encode(item_type))
    if item_type not in WITHOUT_STATUS:
        head += b',"status":%b' % encode(status)
    rest = body.strip()[1:-1]
    return Item(item_id, item_type, head + (b"," + rest if rest else b"") + b"}", None, None, tokens)


def hosted_members(item_type: str, *, name: str = "", label: str | None = None, arguments: str = "") -> bytes:
    """Return the `body` of a hosted call that has no result: as its item begins, or ends where the call never ran."""
    match item_type:
        case "file_search_call":
            return b'{"queries":[],"results":null}'
        case "web_search_call":
            return b'{"action":{"type":"search","query":""}}'
        case "mcp_list_tools":
            return b'{"server_label":%b,"tools":[],"error":null}' % encode(label or "")
        case "mcp_call" | "mcp_approval_request":
            call = b'"arguments":%b,"name":%b,"server_label":%b' % (
                encode(arguments),
                encode(name),
                encode(label or ""),
            )
            results = b',"approval_request_id":null,"error":null,"output":null' if item_type == "mcp_call" else b""
            return b"{%b%b}" % (call, results)
        case _:
            return b"{}"
