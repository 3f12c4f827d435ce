"""OpenAI's error body and the texts that clients match on, for every endpoint that is not a stream."""

from math import ceil
from typing import Final

import msgspec

from onward.core.errors import OnwardError, RequestError

_encode = msgspec.json.Encoder().encode
_MAX_BITS: Final = 333
"""An integer of at most 100 digits is shown as it is."""


class ErrorDetail(msgspec.Struct, frozen=True):
    """The four fields that are always present."""

    message: str
    type: str
    param: str | None
    code: str | None


def error_body(error: OnwardError) -> bytes:
    """Return `{"error": {message, type, param, code}}` as JSON."""
    detail = ErrorDetail(error.message, type(error).type, error.param, error.code)
    return _encode({"error": detail})


def error_headers(error: OnwardError) -> list[tuple[bytes, bytes]]:
    """Return the headers that steer the SDKs' retries."""
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(0, ceil(error.retry_after))).encode()))
        headers.append((b"retry-after-ms", str(max(0, round(error.retry_after * 1000))).encode()))
    if error.final or error.http_status in (408, 409, 507):
        headers.append((b"x-should-retry", b"false"))
    return headers


def missing_parameter(name: str) -> RequestError:
    """Return the error for a required field that is absent."""
    return RequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def invalid_value(name: str, value: object, supported: tuple[str, ...] = ()) -> RequestError:
    """Return the error for a value outside its enumeration."""
    shown = str(value)[:200]
    if not supported:
        return RequestError(f"Invalid value for '{name}': '{shown}'.", param=name, code="invalid_value")
    *others, last = (f"'{one}'" for one in supported)
    listed = f"{', '.join(others)}{', and ' if len(others) > 1 else ' and '}{last}" if others else last
    return RequestError(f"Invalid value: '{shown}'. Supported values are: {listed}.", param=name, code="invalid_value")


def out_of_range(name: str, value: float, *, low: float | None = None, high: float | None = None) -> RequestError:
    """Return the error for a number below `low` or above `high`."""
    kind, got = "integer" if isinstance(value, int) else "decimal", _number(value)
    if low is not None and value < low:
        return RequestError(
            f"Invalid '{name}': {kind} below minimum value. Expected a value >= {low}, but got {got} instead.",
            param=name,
            code=f"{kind}_below_min_value",
        )
    return RequestError(
        f"Invalid '{name}': {kind} above maximum value. Expected a value <= {high}, but got {got} instead.",
        param=name,
        code=f"{kind}_above_max_value",
    )


def _number(value: float) -> str:
    """Return a number as digits: only a decimal, or an integer of hundreds of digits, is shortened."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value.bit_length() <= _MAX_BITS else "an integer of more than 100 digits"


def too_long(name: str, length: int, *, maximum: int, kind: str = "string") -> RequestError:
    """Return the error for a string, array or object over its maximum."""
    noun = "number of properties" if kind == "object" else "length"
    a_kind = f"a {kind}" if kind == "string" else f"an {kind}"
    return RequestError(
        f"Invalid '{name}': {kind} too long. Expected {a_kind} with maximum {noun} {maximum}, "
        f"but got {a_kind} with {noun} {length} instead.",
        param=name,
        code="object_above_max_properties" if kind == "object" else f"{kind}_above_max_length",
    )
