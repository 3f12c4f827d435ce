"""Files of a project and of the web as a model reads them: images as data URLs, documents as parsed text."""

import asyncio
import base64
import binascii
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from onward.core.errors import RequestError
from onward.core.images import HEAD_BYTES, image_type
from onward.ports.egress import Egress, EgressError, Fetched
from onward.ports.files import Files
from onward.ports.parse import ParseError, Parser

MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024
MAX_DOCUMENT_BYTES: Final = 50 * 1024 * 1024
KEPT_CHARACTERS: Final = 4_000_000
"""Parsed text kept in memory, so that a file in a long conversation is not parsed again at each turn."""


class ProjectAttachments:
    """Implements `Attachments` for one project."""

    def __init__(self, *, files: Files, parser: Parser, egress: Egress) -> None:
        self._files = files
        self._parser = parser
        self._egress = egress
        self._texts: OrderedDict[tuple[str, str], tuple[str, str]] = OrderedDict()

    async def image_url(self, file_id: str) -> str:
        """Return an image file as a `data:` URL. Raises NotFoundError, RequestError."""
        file = await self._files.get(file_id)
        if file.size > MAX_IMAGE_BYTES:
            raise RequestError(
                f"The image '{file.id}' has {file.size} bytes; the maximum is {MAX_IMAGE_BYTES}.",
                param="input",
                code="image_too_large",
            )
        data = await _read(self._files.path(file))
        return _data_url(data, f"The file '{file.id}'")

    async def fetch_image(self, url: str) -> str:
        """Fetch an image and return it as a `data:` URL. Raises RequestError."""
        try:
            fetched = await self._egress.fetch(url, limit=MAX_IMAGE_BYTES, headers={"Accept": "image/*"})
        except EgressError as error:
            raise RequestError(_download_failed(url, error), param="input", code=_image_code(error)) from error
        return _data_url(fetched.body, f"What is at {_shown(url)}")

    async def text(
        self,
        *,
        file_id: str | None,
        file_data: str | None,
        filename: str | None,
        file_url: str | None = None,
        read_before: bool = False,
    ) -> tuple[str, str]:
        """Return (filename, parsed text) of a stored or inline file, or of one at a URL.

        Raises NotFoundError, RequestError.
        """
        if file_id is not None:
            file = await self._files.get(file_id)
            if file.size > MAX_DOCUMENT_BYTES:
                raise _too_large(file.size)
            known = self._texts.get((file.sha256, file.filename))
            if known is None:
                text = await self._parse(self._files.path(file), file.filename, file.media_type)
                known = self._keep((file.sha256, file.filename), (file.filename, text))
            return known
        if file_url is not None:
            return await self._text_at(file_url, filename, read_before=read_before)
        if file_data is None:
            raise RequestError("An input file needs 'file_id', 'file_url' or 'file_data'.", param="input")
        name = filename or "file"
        media_type, data = await asyncio.to_thread(_decode, file_data)
        return name, await self._parse_bytes(data, name, media_type)

    async def _text_at(self, url: str, filename: str | None, *, read_before: bool) -> tuple[str, str]:
        """Fetch and parse; what was read is kept, so that a conversation goes on with what it began with."""
        known = self._texts.get((url, filename or ""))
        if known is not None and read_before:
            return known
        try:
            fetched = await self._egress.fetch(url, limit=MAX_DOCUMENT_BYTES)
        except EgressError as error:
            code = "file_too_large" if error.reason == "too_large" else "invalid_value"
            raise RequestError(_download_failed(url, error), param="input", code=code) from error
        name = filename or fetched.filename or _name_at(url)
        text = await self._parse_bytes(fetched.body, name, _declared(fetched))
        return self._keep((url, filename or ""), (name, text))

    async def _parse_bytes(self, data: bytes, name: str, media_type: str | None) -> str:
        with tempfile.TemporaryDirectory(prefix="onward-") as folder:
            path = Path(folder) / "file"
            await asyncio.to_thread(path.write_bytes, data)
            return await self._parse(path, name, media_type)

    async def _parse(self, path: Path, filename: str, media_type: str | None) -> str:
        try:
            document = await self._parser.parse(path, filename=filename, media_type=media_type)
        except ParseError as error:
            message = f"The file '{filename}' cannot be read: {error.message}"
            raise RequestError(message, param="input", code=error.code) from error
        return document.text

    def _keep(self, key: tuple[str, str], known: tuple[str, str]) -> tuple[str, str]:
        self._texts[key] = known
        while len(self._texts) > 1 and sum(len(text) for _, text in self._texts.values()) > KEPT_CHARACTERS:
            self._texts.popitem(last=False)
        return known


async def _read(path: Path) -> bytes:
    try:
        return await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError as error:
        raise RequestError("The file's content is gone.", param="input") from error


def _data_url(data: bytes, what: str) -> str:
    """Return image bytes as a `data:` URL, by their content. Raises RequestError."""
    media_type = image_type(data[:HEAD_BYTES])
    if media_type is None:
        raise RequestError(
            f"{what} is not an image. Supported are PNG, JPEG, GIF and WebP.",
            param="input",
            code="invalid_image_format",
        )
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _shown(url: str) -> str:
    """Return a URL as a message may repeat it, which is stored: without query and user."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:500]


def _download_failed(url: str, error: EgressError) -> str:
    try:
        return f"Error while downloading {_shown(url)}. {error.message}"
    except ValueError:
        return error.message


def _image_code(error: EgressError) -> str:
    if error.reason in ("invalid", "refused"):
        return "invalid_image_url"
    return "image_too_large" if error.reason == "too_large" else "failed_to_download_image"


def _name_at(url: str) -> str:
    return urlsplit(url).hostname or "file"


def _declared(fetched: Fetched) -> str | None:
    """Return the media type that a server declared; the ones that say nothing are left to the parser."""
    vague = ("application/octet-stream", "binary/octet-stream", "application/force-download")
    return None if fetched.media_type in vague else fetched.media_type


def _too_large(size: int) -> RequestError:
    return RequestError(
        f"An input file has {size} bytes; the maximum is {MAX_DOCUMENT_BYTES}.", param="input", code="file_too_large"
    )


def _decode(file_data: str) -> tuple[str | None, bytes]:
    """Return media type and bytes of base64, bare or in a `data:` URL. Raises RequestError."""
    if len(file_data) > MAX_DOCUMENT_BYTES * 4 // 3 + 1024:
        raise _too_large(len(file_data) * 3 // 4)
    media_type, encoded, is_base64 = None, file_data, True
    if file_data.startswith("data:"):
        head, comma, encoded = file_data.partition(",")
        if not comma:
            raise RequestError("Invalid 'file_data': a data URL needs a comma.", param="input", code="invalid_value")
        fields = head.removeprefix("data:").split(";")
        media_type, is_base64 = fields[0] or None, "base64" in fields[1:]
    try:
        data = base64.b64decode(encoded, validate=False) if is_base64 else unquote_to_bytes(encoded)
    except (binascii.Error, ValueError) as error:
        raise RequestError(
            "Invalid 'file_data': expected base64, bare or in a data URL.", param="input", code="invalid_value"
        ) from error
    return media_type, data
