"""One uploaded file out of a multipart form: bytes go to the store as they come, fields are checked at the end."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import PurePosixPath
from typing import Final, cast, get_args

from starlette.requests import ClientDisconnect, Request

from onward.api.errors import invalid_value, missing_parameter, too_long
from onward.api.query import parse_integer
from onward.api.resources.multipart import FormEvent, PartBegan, PartEnded, read_form
from onward.core.errors import PayloadTooLargeError, RequestError
from onward.ports.files import MAX_FILE_BYTES, File, Files, Incoming, NewFile, Purpose

ACCEPTED: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
MAX_FIELD_BYTES: Final = 64 * 1024
MAX_FILENAME: Final = 512
JOINERS: Final = "\u200c\u200d"
"""They count as unprintable, but Persian and Indic words and many emoji are written with them."""
DAY: Final = 86_400
EXPIRY_LOW: Final = 3600
EXPIRY_HIGH: Final = 30 * DAY


async def receive_file(request: Request, files: Files) -> File:
    """Store the file of an upload. Raises RequestError, PayloadTooLargeError; nothing is left of a refused upload."""
    body = request.stream()
    try:
        async with AsyncExitStack() as stack, aclosing(read_form(request, body)) as form:
            return await _Upload(files, stack).run(form)
    except PayloadTooLargeError:
        await _drain(body)
        raise


class _Upload:
    """The state of one form while its parts come in."""

    def __init__(self, files: Files, stack: AsyncExitStack) -> None:
        self._files = files
        self._stack = stack
        self._fields: dict[str, str] = {}
        self._incoming: Incoming | None = None
        self._filename = ""
        self._media_type: str | None = None

    async def run(self, form: AsyncIterator[FormEvent]) -> File:
        part: PartBegan | None = None
        value = bytearray()
        async for event in form:
            match event:
                case PartBegan():
                    part, value = event, bytearray()
                    if _is_file(event):
                        await self._begin(event)
                case PartEnded():
                    if part is not None and not _is_file(part):
                        self._fields[part.name] = value.decode("utf-8", "replace")
                case bytes():
                    if part is not None and _is_file(part) and self._incoming is not None:
                        await self._incoming.write(event)
                    else:
                        value += event
                        if len(value) > MAX_FIELD_BYTES:
                            raise PayloadTooLargeError("A field of the form is too large.")
        return await self._finish()

    async def _begin(self, part: PartBegan) -> None:
        if self._incoming is not None:
            raise RequestError("Only one file can be uploaded at a time.", param="file")
        self._filename = _clean(part.filename or "")
        self._media_type = part.media_type
        self._incoming = await self._stack.enter_async_context(self._files.receive())

    async def _finish(self) -> File:
        purpose = self._fields.get("purpose")
        if self._incoming is None:
            raise missing_parameter("file")
        if not purpose:
            raise missing_parameter("purpose")
        if purpose not in ACCEPTED:
            raise invalid_value("purpose", purpose, ACCEPTED)
        expires_in = _expiry(self._fields)
        if self._incoming.size == 0:
            raise RequestError("The file is empty. Upload a file with content.", param="file", code="empty_file")
        assert purpose in get_args(Purpose)
        return await self._incoming.finish(
            NewFile(
                filename=self._filename,
                purpose=cast("Purpose", purpose),
                media_type=self._media_type,
                expires_in=30 * DAY if expires_in is None and purpose == "batch" else expires_in,
            )
        )


def _is_file(part: PartBegan) -> bool:
    return part.name == "file"


def _clean(filename: str) -> str:
    """Return the last component of a name, without control characters. Raises RequestError for one too long."""
    shown = "".join(char for char in filename if char.isprintable() or char in JOINERS)
    name = PurePosixPath(shown.replace("\\", "/")).name
    if len(name) > MAX_FILENAME:
        raise too_long("file.filename", len(name), maximum=MAX_FILENAME)
    return name or "upload"


def _expiry(fields: dict[str, str]) -> int | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor is None:
        raise missing_parameter("expires_after.anchor")
    if anchor != "created_at":
        raise invalid_value("expires_after.anchor", anchor, ("created_at",))
    if seconds is None:
        raise missing_parameter("expires_after.seconds")
    return parse_integer(seconds, "expires_after.seconds", low=EXPIRY_LOW, high=EXPIRY_HIGH)


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read on for a while: a client that is still sending would see a broken connection in place of the error."""
    left = MAX_FILE_BYTES
    try:
        async for chunk in body:
            left -= len(chunk)
            if left < 0:
                return
    except ClientDisconnect:
        return
