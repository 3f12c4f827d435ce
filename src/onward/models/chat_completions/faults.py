"""What went wrong at an upstream → the error that our client sees.

A client must never read the upstream's refusal of *our* credentials as a refusal of its own key, and a 429 stays a
429 so that SDKs wait and try again. Must not know how requests are sent.
"""

import email.utils
import logging
import re
import time
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from onward.core.errors import (
    OnwardError,
    PayloadTooLargeError,
    RateLimitError,
    RequestError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from onward.models.chat_completions.wire import ErrorBody, ErrorEnvelope, read_error, read_error_envelope

log = logging.getLogger("onward.models")

MESSAGE_LIMIT: Final = 2000
"""Characters of an upstream's message that are passed on."""

_CONTEXT_WORDS: Final = re.compile(
    r"maximum context length|context[ _](length|window|size)|exceeds? the (available )?context|prompt is too long"
    r"|too many (input )?tokens|exceed_context_size",
    re.IGNORECASE,
)
_KEY: Final = re.compile(
    r"\b(bearer[ :]+|api[-_ ]?key(?: provided)?[ :='\"]+)[^\s'\",;.]{6,}"
    r"|\b()(?:sk|pk|rk|gsk|xai|hf|r8|AIza|key)[-_][\w*.-]*[\w*-]{6,}",
    re.IGNORECASE,
)
_RETRIABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})


class UpstreamMessage(Struct, frozen=True):
    """What an upstream's error says, whatever its form."""

    text: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    recognised: bool = True


def is_retriable(status: int) -> bool:
    """Tell whether a request that got `status` may succeed when it is sent again."""
    return status in _RETRIABLE


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `retry-after-ms` or `Retry-After` (seconds or a date) ask to wait; None where they do
    not."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def read_fault(body: bytes) -> UpstreamMessage:
    """Return what the body of an error says, without what looks like a key."""
    message = _read(body)
    return msgspec.structs.replace(message, text=without_keys(message.text))


def without_keys(text: str) -> str:
    """Return `text` with what looks like a key or a bearer token left out."""
    return _KEY.sub(r"\1[key]", text)


def _read(body: bytes) -> UpstreamMessage:
    try:
        envelope = read_error_envelope.decode(body)
    except msgspec.DecodeError:
        text = body.decode("utf-8", "replace").strip()
        return UpstreamMessage("" if text.startswith("<") else text[:MESSAGE_LIMIT], recognised=False)
    if envelope.error is not None:
        return _from_error(envelope.error)
    return _from_envelope(envelope)


def status_fault(status: int, headers: Mapping[str, str], body: bytes, *, upstream: str) -> OnwardError:
    """Return the error of an answer with `status`; `upstream` is the name it has in messages."""
    return _fault(status, read_fault(body), upstream=upstream, wait=retry_after(headers))


def stream_fault(raw: bytes) -> OnwardError:
    """Return the error of an error object inside a stream."""
    try:
        error = read_error.decode(raw)
    except msgspec.DecodeError:
        error = raw.decode("utf-8", "replace")
    message = _from_error(error if error is not None else "")
    message = msgspec.structs.replace(message, text=without_keys(message.text))
    return _fault(message.status or _status_of(message), message, upstream="upstream", wait=None)


def _fault(status: int, message: UpstreamMessage, *, upstream: str, wait: float | None) -> OnwardError:
    text = f": {message.text}" if message.text else "."
    if status == 429:
        return RateLimitError(message.text or None, code=message.code or "rate_limit_exceeded", retry_after=wait)
    if status in (401, 403):
        # What it says may repeat the key. It is for the operator, and the client can change nothing.
        log.warning("the model's server '%s' refused our credentials (HTTP %d)%s", upstream, status, text)
        refused = UpstreamError(
            f"The model's server '{upstream}' refused the credentials this server sent (HTTP {status}).",
            code="upstream_authentication",
        )
        refused.final = True
        return refused
    if status in (408, 504, 524):
        return UpstreamTimeout(f"The model's server '{upstream}' did not answer in time{text}", retry_after=wait)
    if 400 <= status < 500:
        return _request_fault(status, message, upstream=upstream)
    if status in (503, 529):
        return UpstreamUnavailable(f"The model's server '{upstream}' is not available{text}", retry_after=wait)
    return UpstreamError(
        f"The model's server '{upstream}' answered HTTP {status}{text}", code="upstream_error", retry_after=wait
    )


def _request_fault(status: int, message: UpstreamMessage, *, upstream: str) -> OnwardError:
    if _is_context_overflow(message):
        return RequestError(message.text, param="input", code="context_length_exceeded")
    if status == 413:
        return PayloadTooLargeError(message.text or None, code=message.code)
    if status == 404 and not message.recognised:
        return UpstreamError(
            f"The model's server '{upstream}' has no chat completions at this address (HTTP 404). Check its base URL.",
            code="upstream_error",
        )
    if status == 404:
        return RequestError(message.text, param="model", code=message.code or "model_not_found")
    if status in (400, 422):
        return RequestError(message.text or None, param=message.param, code=message.code)
    return UpstreamError(
        f"The model's server '{upstream}' answered HTTP {status}{f': {message.text}' if message.text else '.'}",
        code=message.code or "upstream_error",
    )


def _is_context_overflow(message: UpstreamMessage) -> bool:
    if message.code == "context_length_exceeded" or message.type == "exceed_context_size_error":
        return True
    return _CONTEXT_WORDS.search(message.text) is not None


def _from_error(error: ErrorBody | str) -> UpstreamMessage:
    if isinstance(error, str):
        return UpstreamMessage(error[:MESSAGE_LIMIT])
    status = error.code if isinstance(error.code, int) else _number(str(error.status))
    code = error.code if isinstance(error.code, str) and not error.code.isdigit() else None
    if isinstance(error.code, str) and error.code.isdigit():
        status = int(error.code)
    return UpstreamMessage(
        (error.message or "")[:MESSAGE_LIMIT],
        type=error.type,
        code=code,
        param=error.param,
        status=int(status) if status is not None and 400 <= status < 600 else None,
    )


def _from_envelope(envelope: ErrorEnvelope) -> UpstreamMessage:
    text = envelope.message or ""
    if not text and envelope.detail is not UNSET:
        text = bytes(envelope.detail).decode("utf-8", "replace").strip('"')
    code = envelope.code if isinstance(envelope.code, str) else None
    # A bare {"detail": "Not Found"} is a framework that has no such route, not an answer about a model.
    recognised = bool(envelope.message)
    return UpstreamMessage(text[:MESSAGE_LIMIT], type=envelope.type, code=code, recognised=recognised)


def _status_of(message: UpstreamMessage) -> int:
    if message.code == "rate_limit_exceeded" or message.type == "rate_limit_error":
        return 429
    if _is_context_overflow(message) or message.type in ("invalid_request_error", "BadRequestError"):
        return 400
    return 502


def _number(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number >= 0 and number < 1e9 else None
