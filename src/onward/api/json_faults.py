"""Why a body is not JSON, in words for the client: which string, which byte; never a decoder's own vocabulary alone.

Runs only where a body is refused. It may read the body again, with a decoder that tolerates more, to find the place.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from onward.core.errors import RequestError

MAX_SEARCHED: Final = 4 * 1024 * 1024
"""Bytes of a body that is read again to find a place: more would hold up other requests."""

_PREAMBLE: Final = (
    "We could not parse the JSON body of your request. The API expects a JSON payload in UTF-8, but what was sent"
)
_ESCAPED: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_LONE: Final = re.compile(r"[\ud800-\udfff]")
_PLAIN: Final = re.compile(r"\w+")


def unreadable(body: bytes, error: Exception) -> RequestError:
    """Return the error for a body that the decoder refused with `error`."""
    try:
        body.decode()
    except UnicodeDecodeError as fault:
        return RequestError(f"{_PREAMBLE} is not UTF-8: byte 0x{body[fault.start]:02x} at position {fault.start}.")
    if _ESCAPED.search(body) and len(body) > MAX_SEARCHED:
        place = _BYTE.search(str(error))
        near = f" near byte {place[1]}" if place else ""
        return RequestError(
            f"{_PREAMBLE} is not valid: a string{near} has a lone surrogate, or the JSON ends early.",
            code="invalid_unicode",
        )
    if _ESCAPED.search(body) and (found := _lone_surrogate(body)) is not None:
        path, position, surrogate = found
        where = f"'{path}'" if path else "a key of the body"
        return RequestError(
            f"{_PREAMBLE} is not valid Unicode: {where} has the lone surrogate '\\u{ord(surrogate):04x}' at character "
            f"{position}. Send characters beyond U+FFFF as a pair of surrogates or as UTF-8.",
            param=path or None,
            code="invalid_unicode",
        )
    return RequestError(f"{_PREAMBLE} was not valid JSON: {error}.")


def _lone_surrogate(body: bytes) -> tuple[str, int, str] | None:
    """Return the path, position within its string, and surrogate of the first one; None where the body is no JSON."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for path, text in _strings(value):
        if found := _LONE.search(text):
            return path, found.start(), found[0]
    return None


def _strings(root: object) -> Iterator[tuple[str, str]]:
    """Yield every string, keys included, with the path to it, in the order of the body; a key has its parent's path."""
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        path, value = waiting.pop()
        match value:
            case str():
                yield path, value
            case list():
                items = cast("list[Any]", value)
                waiting += [(f"{path}[{index}]", item) for index, item in enumerate(items)][::-1]
            case dict():
                members = cast("dict[str, Any]", value)
                for name in members:
                    yield path, name
                waiting += [(_member(path, name), member) for name, member in members.items()][::-1]
            case _:
                pass


def _member(path: str, name: str) -> str:
    shown = name if _PLAIN.fullmatch(name) else json.dumps(name[:64])
    return f"{path}.{shown}" if path else shown
