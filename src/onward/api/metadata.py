"""Metadata: at most 16 pairs of strings, keys of at most 64 and values of at most 512 characters."""

from typing import Final

import msgspec

from onward.api.errors import too_long
from onward.core.errors import RequestError

Metadata = dict[str, object] | None
MAX_PAIRS: Final = 16
_encode = msgspec.json.Encoder().encode


def check_metadata(metadata: Metadata, *, param: str = "metadata") -> bytes:
    """Return the metadata as a JSON object. Raises RequestError beyond the limits."""
    if not metadata:
        return b"{}"
    if len(metadata) > MAX_PAIRS:
        raise too_long(param, len(metadata), maximum=MAX_PAIRS, kind="object")
    for key, value in metadata.items():
        if len(key) > 64:
            raise too_long(f"{param}.{key[:64]}", len(key), maximum=64)
        if not isinstance(value, str):
            raise RequestError(
                f"Invalid type for '{param}.{key}': expected a string, but got {_noun(value)} instead.",
                param=f"{param}.{key}",
                code="invalid_type",
            )
        if len(value) > 512:
            raise too_long(f"{param}.{key}", len(value), maximum=512)
    return _encode(metadata)


def _noun(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case list():
            return "an array"
        case _:
            return "an object"
