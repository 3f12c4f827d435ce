"""Puts the content of files into items before they are rendered: images as data URLs, documents as text.

What is stored keeps the reference; only what the model reads is changed.
"""

import re
from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import Struct

from onward.core.errors import NotFoundError, RequestError
from onward.core.items import Item, encode
from onward.core.tokens import estimate_tokens
from onward.ports.attachments import Attachments
from onward.ports.hosted import Passage

MAX_READ: Final = 400_000
_FILE: Final = re.compile(r'<file name="([^\n]*)">\n')
_FILE_END: Final = "\n</file>"
MAX_FETCHED: Final = 50
MAX_SIZE: Final = 64 * 1024 * 1024
"""Characters of everything that one reading fetched, as the model reads it."""

_decode = msgspec.json.Decoder(dict[str, object]).decode


class Reading(Struct):
    """How files are read: `image_urls` tells whether the model fetches images itself; in `history` a file that cannot
    be fetched any more is named instead, because it must not end a conversation. `fetched` counts, `size` sums up."""

    attachments: Attachments
    image_urls: bool = True
    history: bool = False
    fetched: int = 0
    size: int = 0

    def take(self) -> None:
        """Count a file that is to be fetched. Raises RequestError for one too many."""
        self.fetched += 1
        if self.fetched > MAX_FETCHED:
            raise RequestError(
                f"At most {MAX_FETCHED} files and images can be given by URL.", param="input", code="invalid_value"
            )

    def keep(self, content: str) -> None:
        """Add up what was fetched. Raises RequestError where it is too much."""
        self.size += len(content)
        if self.size > MAX_SIZE:
            raise RequestError(
                f"Files and images by URL have more than {MAX_SIZE} bytes together.",
                param="input",
                code="file_too_large",
            )


async def inline_files(
    items: Sequence[Item],
    attachments: Attachments,
    *,
    image_urls: bool = True,
    history: bool = False,
    first: int | None = None,
) -> Sequence[Item]:
    """Return the items with every `input_file` and every image by file id replaced by its content.

    `first` is the place of the first item in the request's input, where they stand there one after another; a file
    that does not exist is then named by its path. Raises NotFoundError and RequestError from the attachments.
    """
    reading = Reading(attachments, image_urls, history)
    if not any(_refers(item, reading) for item in items):
        return items
    return [
        await _inline(item, reading, None if first is None else f"input[{first + index}]")
        if _refers(item, reading)
        else item
        for index, item in enumerate(items)
    ]


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _refers(item: Item, reading: Reading) -> bool:
    if b'"input_file"' in item.body:
        return True
    return b'"input_image"' in item.body and (b'"file_id"' in item.body or not reading.image_urls)


async def _inline(item: Item, reading: Reading, path: str | None) -> Item:
    body = _decode(item.body)
    tokens = item.tokens
    for field in ("content", "output"):
        parts = body.get(field)
        if isinstance(parts, list):
            given = msgspec.convert(parts, list[object])
            read = [
                await _inline_named(part, reading, None if path is None else f"{path}.{field}[{index}].file_id")
                for index, part in enumerate(given)
            ]
            tokens += sum(_text_tokens(new) for old, new in zip(given, read, strict=True) if new is not old)
            body[field] = read
    return msgspec.structs.replace(item, body=encode(body), tokens=tokens)


def _text_tokens(part: object) -> int:
    """Return the tokens of the text that stands for a file; an image has its flat count already."""
    text = cast("dict[str, object]", part).get("text") if _is_object(part) else None
    return estimate_tokens(text) if isinstance(text, str) else 0


async def _inline_named(part: object, reading: Reading, path: str | None) -> object:
    """Read a part; a file that does not exist is named by `path` in the request."""
    try:
        return await _inline_part(part, reading)
    except NotFoundError as error:
        if path is None or error.param != "id":
            raise
        raise NotFoundError(error.message, param=path, code=error.code) from error


async def _inline_part(part: object, reading: Reading) -> object:
    if not _is_object(part):
        return part
    fields = msgspec.convert(part, dict[str, object])
    kind = fields.get("type")
    if kind == "input_image":
        return await _inline_image(fields, reading)
    if kind == "input_file" and any(fields.get(name) for name in ("file_id", "file_data", "file_url")):
        return await _inline_document(fields, reading)
    return part


async def _inline_image(fields: dict[str, object], reading: Reading) -> object:
    file_id, url = _text(fields.get("file_id")), _text(fields.get("image_url"))
    if url is None:
        if file_id is None:
            return fields
        rest = {name: value for name, value in fields.items() if name != "file_id"}
        return rest | {"image_url": await reading.attachments.image_url(file_id)}
    if reading.image_urls or url.startswith("data:"):
        return fields
    try:
        reading.take()
        image = await reading.attachments.fetch_image(url)
        reading.keep(image)
        return fields | {"image_url": image}
    except RequestError:
        if not reading.history:
            raise
        return {"type": "input_text", "text": "[an image that is no longer available]"}


async def _inline_document(fields: dict[str, object], reading: Reading) -> object:
    url = _text(fields.get("file_url"))
    file_id, file_data = _text(fields.get("file_id")), _text(fields.get("file_data"))
    filename = _text(fields.get("filename"))
    try:
        if url is not None:
            reading.take()
        name, text = await reading.attachments.text(
            file_id=file_id,
            file_data=file_data,
            filename=filename,
            file_url=None if file_id or file_data else url,
            read_before=reading.history,
        )
        if url is not None:
            reading.keep(text)
    except RequestError:
        if not reading.history or url is None:
            raise
        name, text = filename or "file", "[This file is no longer available.]"
    return {"type": "input_text", "text": f'<file name="{name}">\n{text}{_FILE_END}'}


def read_documents(items: Sequence[Item]) -> list[Passage]:
    """Return the texts of the files that came with `items`, as `inline_files` put them there, each as a passage.

    No more than `MAX_READ` characters in all, because they are searched at once.
    """
    found: list[Passage] = []
    left = MAX_READ
    for item in items:
        parts = _decode(item.body).get("content") if item.role == "user" else None
        for part in cast("list[object]", parts) if isinstance(parts, list) else ():
            text = _text(cast("dict[str, object]", part).get("text")) if _is_object(part) else None
            match = _FILE.match(text) if text is not None else None
            if text is None or match is None or not text.endswith(_FILE_END):
                continue
            content = text[match.end() : -len(_FILE_END)][:left]
            left -= len(content)
            if content.strip():
                found.append(Passage("", match[1], content, 1.0, 0, len(content)))
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
