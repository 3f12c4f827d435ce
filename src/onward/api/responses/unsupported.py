"""Fields of a create call that change what is answered, and that this version cannot do: refused, never ignored.

Hints are ignored, because the answer stays what it would be: `prompt_cache_options.mode` and `ttl`,
`background_options.completion_window` (background work starts as soon as it can), `image.context_compression` (images
reach the model whole) and `access_programs` (nothing here is gated by them).
"""

from typing import Final

import msgspec

from onward.api.responses.wire import NULL, CreateResponse
from onward.core.errors import RequestError

_NOTHING: Final = (b"null", b"[]", b"{}")
_SERVED: Final[dict[str, tuple[object, ...]]] = {
    "background_options.continuation_id": (None,),
    "prompt_cache_options.prewarm": (None, False),
    "reasoning.context": (None, "auto", "current_turn"),
    "reasoning.mode": (None, "standard"),
}
"""Members of objects, and the values of them that are as if nothing was said."""

_decode = msgspec.json.Decoder(dict[str, object]).decode


def check_unsupported(body: CreateResponse) -> None:
    """Raise RequestError `unsupported_parameter` for a field whose meaning would be lost."""
    for name, raw in (("context_management", body.context_management), ("moderation", body.moderation)):
        if raw is not NULL and bytes(raw) not in _NOTHING:
            raise _refused(name)
    for name, raw in (
        ("background_options", body.background_options),
        ("prompt_cache_options", body.prompt_cache_options),
    ):
        if raw is not NULL and bytes(raw) != b"null":
            _check_members(name, _object(name, bytes(raw)))
    if body.reasoning is not None:
        _check_members("reasoning", {"context": body.reasoning.context, "mode": body.reasoning.mode})


def _object(name: str, raw: bytes) -> dict[str, object]:
    try:
        return _decode(raw)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"Invalid type for '{name}': expected an object.", param=name, code="invalid_type"
        ) from error


def _check_members(name: str, fields: dict[str, object]) -> None:
    for member, value in fields.items():
        served = _SERVED.get(f"{name}.{member}")
        if served is not None and not any(value is one or value == one for one in served):
            raise _refused(f"{name}.{member}", value)


def _refused(name: str, value: object = None) -> RequestError:
    shown = f"'{name}'" if not isinstance(value, str) else f"'{value[:100]}' for '{name}'"
    return RequestError(
        f"{shown} is not supported by this version of Onward.", param=name, code="unsupported_parameter"
    )
