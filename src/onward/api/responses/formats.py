"""`text.format`: which text an answer is, and what a request must say so that a model can keep to it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from onward.api.body import describe_mismatch
from onward.api.errors import invalid_value, missing_parameter
from onward.api.responses.schemas import check_format
from onward.api.responses.wire import CreateResponse, FormatField
from onward.core.errors import RequestError
from onward.core.items import Item
from onward.core.turns import TextFormat

MAX_CACHED: Final = 64 * 1024
"""Bytes of a schema whose check is remembered, because clients repeat it with every turn."""

_decode_schema = msgspec.json.Decoder(dict[str, Any]).decode


def read_format(field: FormatField | None) -> TextFormat:
    """Return the format of an answer. Raises RequestError for a schema that cannot be used."""
    if field is None or field.type == "text":
        return TextFormat()
    if field.type == "json_object":
        return TextFormat("json_object")
    if field.type != "json_schema":
        raise invalid_value("text.format.type", field.type, ("text", "json_object", "json_schema"))
    for name, given in (("name", field.name is not None), ("schema", bytes(field.schema) != b"null")):
        if not given:
            raise missing_parameter(f"text.format.{name}")
    if not bytes(field.schema).lstrip().startswith(b"{"):
        raise RequestError(
            "Invalid type for 'text.format.schema': expected an object.",
            param="text.format.schema",
            code="invalid_type",
        )
    raw = bytes(field.schema)
    check = _check_cached if len(raw) <= MAX_CACHED else _check_schema
    check(raw, field.name or "", field.strict is True)
    return TextFormat("json_schema", field.name, field.description, field.schema, field.strict is True)


def _check_schema(raw: bytes, name: str, strict: bool) -> None:
    try:
        schema = _decode_schema(raw)
    except msgspec.ValidationError as error:
        raise describe_mismatch(str(error), at="text.format.schema") from error
    check_format(schema, name=name, strict=strict)


_check_cached = lru_cache(maxsize=64)(_check_schema)


def check_json_mode(body: CreateResponse, items: Sequence[Item]) -> None:
    """Raise RequestError where JSON is asked for by the format alone: models then write white space without end.

    With a parent the word may stand in its context, so that only the model can tell.
    """
    if body.text is None or body.text.format is None or body.text.format.type != "json_object":
        return
    if body.previous_response_id or body.conversation or "json" in (body.instructions or "").lower():
        return
    if not any(b"json" in item.body.lower() for item in items):
        raise RequestError(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'.",
            param="input",
        )
