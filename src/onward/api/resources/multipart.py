"""Multipart forms as a stream of parts, so that a file goes to disk as it comes and fields may stand in any order."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from msgspec import Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from onward.core.errors import RequestError

MAX_PARTS: Final = 100
MAX_HEADER_BYTES: Final = 16 * 1024


class PartBegan(Struct, frozen=True):
    """A part begins. `filename` is None for a plain field."""

    name: str
    filename: str | None
    media_type: str | None


class PartEnded(Struct, frozen=True):
    """The part that began last is complete."""


FormEvent = PartBegan | bytes | PartEnded


async def read_form(request: Request, body: AsyncIterator[bytes]) -> AsyncGenerator[FormEvent]:
    """Yield the parts of a multipart body: PartBegan, its bytes in pieces, PartEnded.

    Raises RequestError for another content type and for a malformed or truncated body.
    """
    form = _Form(_boundary(request))
    try:
        async for chunk in body:
            for event in form.feed(chunk):
                yield event
    except ClientDisconnect as error:
        raise _truncated() from error
    if not form.ended:
        raise _truncated()


def _truncated() -> RequestError:
    return RequestError("The multipart body ended early.")


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind.lower() != b"multipart/form-data":
        shown = kind.decode("latin-1") or "none"
        raise RequestError(
            f"Unsupported content type: {shown}. Send the file as 'multipart/form-data'.", code="invalid_content_type"
        )
    boundary = options.get(b"boundary")
    if not boundary:
        raise RequestError("The content type 'multipart/form-data' needs a boundary.", code="invalid_content_type")
    return boundary


class _Form:
    """Callbacks of the low-level parser, turned into a list of events a chunk."""

    def __init__(self, boundary: bytes) -> None:
        self.ended = False
        self._events: list[FormEvent] = []
        self._parts = 0
        self._header_bytes = 0
        self._field = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[FormEvent]:
        """Return the events that `chunk` completes. Raises RequestError."""
        self._events = []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise RequestError(f"We could not parse your multipart form: {error}.") from error
        return self._events

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise RequestError(f"A form may have at most {MAX_PARTS} parts.")
        self._headers = {}
        self._header_bytes = 0

    def _grow(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise RequestError("The headers of a part of the form are too large.")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._grow(end - start)
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow(end - start)
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name")
        if name is None:
            raise RequestError('A part of the form lacks a name (Content-Disposition: form-data; name="...").')
        filename = options.get(b"filename")
        media_type = self._headers.get(b"content-type")
        self._events.append(
            PartBegan(
                _text(name),
                # Browsers and SDKs write a quote in a name as %22, and nothing else so.
                None if filename is None else _text(filename).replace("%22", '"'),
                None if media_type is None else _text(media_type),
            )
        )

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _part_end(self) -> None:
        self._events.append(PartEnded())

    def _end(self) -> None:
        self.ended = True


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
