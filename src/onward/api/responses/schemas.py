"""JSON schemas of clients: what is no schema is refused always, what strict mode cannot follow only where it is asked.

The rules of strict mode are those of the structured outputs guide: an object at the root, every property required,
no additional properties, no composition but `anyOf`. Limits of size are not checked: nothing here depends on them.
A keyword that is null counts as absent, because many generators write it so.
Schemas come from outside, so they are walked without recursion.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from msgspec import Struct

from onward.core.errors import RequestError

Fields = dict[str, Any]
Context = tuple[str, ...]

TYPES: Final = ("string", "number", "integer", "boolean", "object", "array", "null")
FORBIDDEN: Final = (
    "allOf",
    "oneOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
)
_ALL_REQUIRED: Final = "'required' is required to be supplied and to be an array including every key in properties."
_SELF_TYPED: Final = ("type", "anyOf", "$ref", "enum", "const")
_ONE: Final = ("additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_SEVERAL: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS: Final = ("minimum", "maximum", "multipleOf")
_STRINGS: Final = ("pattern", "format", "title", "description", "$ref")


class Fault(Struct, frozen=True):
    """What is wrong with a schema, and on which way into it."""

    context: Context
    reason: str

    def __str__(self) -> str:
        return f"In context={self.context}, {self.reason}"


def check_parameters(schema: Fields, *, name: str, param: str, strict: bool) -> None:
    """Check the parameters of a function. Raises RequestError `invalid_function_parameters`."""
    fault = find_fault(schema, strict=strict)
    if fault is not None:
        raise RequestError(
            f"Invalid schema for function '{name}': {fault}", param=param, code="invalid_function_parameters"
        )


def check_format(schema: Fields, *, name: str, strict: bool) -> None:
    """Check the schema of `text.format`. Raises RequestError `invalid_json_schema`."""
    fault = find_fault(schema, strict=strict)
    if fault is not None:
        raise RequestError(
            f"Invalid schema for response_format '{name}': {fault}",
            param="text.format.schema",
            code="invalid_json_schema",
        )


def find_fault(schema: Fields, *, strict: bool) -> Fault | str | None:
    """Return the first fault of a schema whose values are described by an object, None where there is none."""
    waiting: list[tuple[Context, object]] = [((), schema)]
    while waiting:
        context, one = waiting.pop()
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            return Fault(context, f"{_shown(one)} is not of type 'object', 'boolean'.")
        fields = cast("Fields", one)
        reason = _malformed(fields) or (_not_strict(fields, schema) if strict else None)
        if reason is not None:
            return Fault(context, reason)
        waiting += [(context + way, below) for way, below in _below(fields)][::-1]
    return _wrong_root(schema, strict=strict)


def _wrong_root(schema: Fields, *, strict: bool) -> str | None:
    kind = schema.get("type")
    if kind is None and strict and "$ref" in schema:
        found = resolve(schema, schema["$ref"])
        kind = cast("Fields", found).get("type") if isinstance(found, dict) else None
    if kind == "object" or (kind is None and not strict) or (isinstance(kind, list) and "object" in kind):
        return None
    return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."


def _below(fields: Fields) -> Iterator[tuple[Context, object]]:
    """Yield the schemas inside of a well-formed one, each with the way to it."""
    for name in _NAMED:
        for key, one in cast("Fields", fields.get(name) or {}).items():
            yield (name, key), one
    for name in _SEVERAL:
        for index, one in enumerate(cast("list[object]", fields.get(name) or ())):
            yield (name, str(index)), one
    for name in _ONE:
        if fields.get(name) is not None:
            yield (name,), fields[name]
    items = fields.get("items")
    if isinstance(items, list):
        for index, one in enumerate(cast("list[object]", items)):
            yield ("items", str(index)), one
    elif items is not None:
        yield ("items",), items


def _malformed(fields: Fields) -> str | None:
    """Return why an object is no JSON schema."""
    for names, fits, noun in _SHAPES:
        for name in names:
            if fields.get(name) is not None and not fits(fields[name]):
                return f"'{name}': {_shown(fields[name])} is not {noun}."
    return None


def _is_type(value: object) -> bool:
    if isinstance(value, list):
        names = cast("list[object]", value)
        return bool(names) and all(name in TYPES for name in names)
    return isinstance(value, str) and value in TYPES


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_some(value: object) -> bool:
    return isinstance(value, list) and bool(cast("list[object]", value))


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in cast("list[object]", value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value % 1 == 0


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _is_schema_or_list(value: object) -> bool:
    return isinstance(value, dict | bool | list)


_SHAPES: Final[tuple[tuple[tuple[str, ...], Callable[[object], bool], str], ...]] = (
    (("type",), _is_type, f"one of {', '.join(repr(name) for name in TYPES)}, or a list of them"),
    (_NAMED, _is_object, "of type 'object'"),
    (("required",), _is_strings, "an array of strings"),
    (("enum",), _is_list, "of type 'array'"),
    (_SEVERAL, _is_some, "an array of schemas with at least one element"),
    (_ONE, _is_schema, "of type 'object', 'boolean'"),
    (("items",), _is_schema_or_list, "of type 'object', 'boolean'"),
    (_COUNTS, _is_count, "a whole number of at least 0"),
    (_NUMBERS, _is_number, "of type 'number'"),
    (_STRINGS, _is_string, "of type 'string'"),
)


def _not_strict(fields: Fields, root: Fields) -> str | None:
    """Return why a well-formed schema cannot be followed strictly."""
    for name in FORBIDDEN:
        if name in fields:
            return f"'{name}' is not permitted."
    if not any(name in fields for name in _SELF_TYPED):
        return "schema must have a 'type' key."
    if "$ref" in fields and resolve(root, fields["$ref"]) is None:
        return f"reference to component '{fields['$ref']}' which was not found in the schema."
    kinds: object = fields.get("type")
    named = cast("list[str]", kinds) if isinstance(kinds, list) else [kinds]
    if "object" in named:
        return _open_object(fields)
    if "array" in named and "items" not in fields and "prefixItems" not in fields:
        return "array schema missing items."
    return None


def _open_object(fields: Fields) -> str | None:
    if fields.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    properties = cast("Fields", fields.get("properties") or {})
    required = dict.fromkeys(cast("list[str]", fields.get("required") or ()))
    if missing := next((name for name in properties if name not in required), None):
        return f"{_ALL_REQUIRED} Missing '{missing[:200]}'."
    if extra := next((name for name in required if name not in properties), None):
        return f"{_ALL_REQUIRED} Extra required key '{extra[:200]}' supplied."
    return None


def resolve(root: Fields, reference: object) -> object:
    """Return what a reference inside of a schema points to, None where it points nowhere."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: object = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, object]", found).get(name)
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
