"""Stored items as this dialect shows them: what `include` gates is null, everything else is as stored."""

from collections.abc import Iterable
from typing import cast

import msgspec

from onward.core.items import Item, encode

Fields = dict[str, object]
_decode = msgspec.json.Decoder(Fields).decode

Include = frozenset[str]


def item_view(item: Item, include: Include) -> bytes:
    """Return the JSON of an item for a reader who asked for `include`."""
    match item.type:
        case "file_search_call" if "file_search_call.results" not in include:
            return encode(_decode(item.body) | {"results": None})
        case "web_search_call" if "web_search_call.action.sources" not in include and b'"sources"' in item.body:
            return _without_sources(item)
        case "code_interpreter_call" if "code_interpreter_call.outputs" not in include:
            return encode(_decode(item.body) | {"outputs": None})
        case "reasoning" if "reasoning.encrypted_content" not in include and b'"encrypted_content"' in item.body:
            return encode(_decode(item.body) | {"encrypted_content": None})
        case "message" if b'"input_image"' in item.body and "message.input_image.image_url" not in include:
            return _without_images(item)
        case _:
            return item.body


def _without_sources(item: Item) -> bytes:
    body = _decode(item.body)
    action = body.get("action")
    if isinstance(action, dict):
        body["action"] = {name: value for name, value in cast("Fields", action).items() if name != "sources"}
    return encode(body)


def _without_images(item: Item) -> bytes:
    body = _decode(item.body)
    content = body.get("content")
    if isinstance(content, list):
        body["content"] = [_without_image(part) for part in cast("list[object]", content)]
    return encode(body)


def _without_image(part: object) -> object:
    if not isinstance(part, dict):
        return part
    fields = cast("Fields", part)
    if fields.get("type") != "input_image" or not str(fields.get("image_url", "")).startswith("data:"):
        return fields
    return fields | {"image_url": None}


def item_views(items: Iterable[Item], include: Include) -> list[bytes]:
    """Return the JSON of items, in order."""
    return [item_view(item, include) for item in items]
