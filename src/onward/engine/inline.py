"""Puts the content of files into items before they are rendered: images as data URLs, documents as text.

What is stored keeps the reference; only what the model reads is changed.
"""

from collections.abc import Sequence
from typing import cast

import msgspec

from onward.core.errors import RequestError
from onward.core.items import Item, encode
from onward.core.tokens import estimate_tokens
from onward.ports.attachments import Attachments

_decode = msgspec.json.Decoder(dict[str, object]).decode


async def inline_files(items: Sequence[Item], attachments: Attachments) -> Sequence[Item]:
    """Return the items with every `input_file` and every image by file id replaced by its content.

    Raises NotFoundError and RequestError from the attachments.
    """
    if not any(_refers(item) for item in items):
        return items
    return [await _inline(item, attachments) if _refers(item) else item for item in items]


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _refers(item: Item) -> bool:
    return b'"input_file"' in item.body or (b'"input_image"' in item.body and b'"file_id"' in item.body)


async def _inline(item: Item, attachments: Attachments) -> Item:
    body = _decode(item.body)
    tokens = item.tokens
    for field in ("content", "output"):
        parts = body.get(field)
        if isinstance(parts, list):
            given = msgspec.convert(parts, list[object])
            read = [await _inline_part(part, attachments) for part in given]
            tokens += sum(_text_tokens(new) for old, new in zip(given, read, strict=True) if new is not old)
            body[field] = read
    return msgspec.structs.replace(item, body=encode(body), tokens=tokens)


def _text_tokens(part: object) -> int:
    """Return the tokens of the text that stands for a file; an image has its flat count already."""
    text = cast("dict[str, object]", part).get("text") if _is_object(part) else None
    return estimate_tokens(text) if isinstance(text, str) else 0


async def _inline_part(part: object, attachments: Attachments) -> object:
    if not _is_object(part):
        return part
    fields = msgspec.convert(part, dict[str, object])
    kind = fields.get("type")
    file_id = _text(fields.get("file_id"))
    if kind == "input_image" and file_id and not fields.get("image_url"):
        rest = {name: value for name, value in fields.items() if name != "file_id"}
        return rest | {"image_url": await attachments.image_url(file_id)}
    if kind == "input_file" and fields.get("file_url"):
        raise RequestError(
            "'file_url' is not supported by this server: upload the file and send its 'file_id'.",
            param="input",
            code="unsupported_parameter",
        )
    if kind == "input_file" and (file_id or fields.get("file_data")):
        name, text = await attachments.text(
            file_id=file_id, file_data=_text(fields.get("file_data")), filename=_text(fields.get("filename"))
        )
        return {"type": "input_text", "text": f'<file name="{name}">\n{text}\n</file>'}
    return part


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
