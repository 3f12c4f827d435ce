"""Request bodies: size limits, UTF-8, JSON, and OpenAI's words for a field of a wrong type."""

import re
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from onward.api.content_type import check_json_type
from onward.api.enumerations import supported_values
from onward.api.errors import invalid_value
from onward.api.json_faults import unreadable
from onward.core.errors import PayloadTooLargeError, RequestError

MAX_JSON_BYTES: Final = 64 * 1024 * 1024
"""Largest JSON body. Strings of tool outputs may have 10 MiB, inline files 50 MB in sum."""

_T = TypeVar("_T")

_EXPECTED = re.compile(r"^Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`(?: - at `\$(?P<path>[^`]*)`)?$")
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`(?: - at `\$(?P<path>[^`]*)`)?$")
_ENUM = re.compile(r"^Invalid enum value (?P<value>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")

_NOUNS: Final = {
    "str": "string",
    "int": "integer",
    "float": "decimal",
    "bool": "boolean",
    "array": "array",
    "object": "object",
    "null": "null",
}


async def read_body(request: Request, *, limit: int = MAX_JSON_BYTES) -> bytes:
    """Return the whole body. Raises PayloadTooLargeError beyond `limit` bytes."""
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise RequestError("The request body ended early.") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The request body is too large. The limit is {limit} bytes.", code="request_too_large")


def decode_json(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Decode a JSON object; an empty body counts as `{}`. Raises RequestError in OpenAI's words."""
    try:
        return decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise describe_mismatch(str(error), kind=decoder.type) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(body, error) from error


async def read_json(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Read and decode a JSON body. Raises RequestError, PayloadTooLargeError."""
    check_json_type(request.headers.get("content-type"))
    return decode_json(await read_body(request), decoder)


def _name(path: str | None, field: str = "", *, at: str = "") -> str | None:
    """Return `at` and a path below it; what follows a bracket needs no dot."""
    steps = [part for part in ((path or "").lstrip("."), field) if part]
    joined = ".".join(steps)
    if at and joined:
        return f"{at}{joined}" if joined.startswith("[") else f"{at}.{joined}"
    return at or joined or None


def describe_mismatch(text: str, *, at: str = "", kind: object = None) -> RequestError:
    """Turn a validation message of the decoder into the API's words; `param` is `at` and the path without its root.

    `kind` is the type that was decoded, which knows the values that are supported.
    """
    if match := _MISSING.match(text):
        name = _name(match["path"], match["field"], at=at)
        return RequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if match := _EXPECTED.match(text):
        name = _name(match["path"], at=at)
        got = _NOUNS.get(match["got"], match["got"])
        expected = " or ".join(_NOUNS.get(part, part) for part in match["expected"].split(" | ") if part != "null")
        if name is None:
            return RequestError(f"Invalid body: expected an object, but got {got} instead.", code="invalid_type")
        message = f"Invalid type for '{name}': expected {_article(expected)}, but got {_article(got)} instead."
        return RequestError(message, param=name, code="invalid_type")
    if match := _ENUM.match(text):
        name = _name(match["path"], at=at)
        supported = supported_values(kind, match["path"] or "") if kind is not None else ()
        value = match["value"]
        return invalid_value(name or "", value[1:-1] if value[:1] in ("'", '"') else value, supported)
    found = _PATH.search(text)
    name = _name(found["path"] if found else None, at=at)
    return RequestError(f"Invalid value for '{name}': {_PATH.sub('', text)}.", param=name, code="invalid_value")


def _article(noun: str) -> str:
    if noun == "null":
        return noun
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"
