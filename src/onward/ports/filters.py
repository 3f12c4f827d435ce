"""Attribute filters of file_search as types, and their validating decoder from a request's JSON.

It evaluates nothing: the index turns a filter into a mask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

import msgspec

Scalar = str | float | bool
Attributes = dict[str, Scalar]
"""A file's attributes in a store: at most 16 keys of at most 64 characters; strings of at most 512."""

EqualityOp = Literal["eq", "ne"]
OrderOp = Literal["gt", "gte", "lt", "lte"]
SetOp = Literal["in", "nin"]

MAX_DEPTH = 8
MAX_NODES = 256
MAX_VALUES = 1000
MAX_KEY = 256
MAX_STRING = 512


class FilterError(ValueError):
    """The filter is malformed; ``path`` is where, in the form ``filters.filters[0].value``."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Comparison(msgspec.Struct, frozen=True):
    """``attributes[key] <type> value``; a file without the key matches only ``ne``."""

    type: EqualityOp | OrderOp
    key: str
    value: Scalar


class Membership(msgspec.Struct, frozen=True):
    """``attributes[key]`` is (``in``) or is not (``nin``) one of ``value``; without the key only ``nin`` matches."""

    type: SetOp
    key: str
    value: tuple[Scalar, ...]


class Compound(msgspec.Struct, frozen=True):
    """All (``and``) or any (``or``) of ``filters``, which may nest."""

    type: Literal["and", "or"]
    filters: tuple[Filter, ...]


Filter = Comparison | Membership | Compound


def decode_filter(raw: object, *, path: str = "filters") -> Filter:
    """Return the filter in decoded JSON ``raw``; raises FilterError naming the place that is wrong."""
    return _Decoder().decode(raw, path, 1)


class _Decoder:
    """One decoding, counting nodes so that a wide or deep tree is refused before it costs anything."""

    def __init__(self) -> None:
        self._nodes = 0

    def decode(self, raw: object, path: str, depth: int) -> Filter:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise FilterError(f"A filter may have at most {MAX_NODES} conditions.", path=path)
        if depth > MAX_DEPTH:
            raise FilterError(f"Filters may be nested at most {MAX_DEPTH} deep.", path=path)
        if not isinstance(raw, Mapping):
            raise FilterError("A filter must be an object.", path=path)
        node = cast("Mapping[str, object]", raw)
        kind = node.get("type")
        if kind in ("and", "or"):
            return Compound(type=kind, filters=self._children(node, path, depth))
        if kind in ("in", "nin"):
            return Membership(type=kind, key=_key(node, path), value=_values(node, path))
        if kind in ("eq", "ne", "gt", "gte", "lt", "lte"):
            return Comparison(type=kind, key=_key(node, path), value=_operand(kind, node, path))
        raise FilterError(
            "A filter's type must be one of 'eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'and', 'or'.",
            path=f"{path}.type",
        )

    def _children(self, node: Mapping[str, object], path: str, depth: int) -> tuple[Filter, ...]:
        raw = node.get("filters")
        if not isinstance(raw, list) or not raw:
            raise FilterError("A compound filter needs a non-empty array 'filters'.", path=f"{path}.filters")
        children = cast("list[object]", raw)
        return tuple(self.decode(child, f"{path}.filters[{i}]", depth + 1) for i, child in enumerate(children))


def _key(node: Mapping[str, object], path: str) -> str:
    key = node.get("key")
    if not isinstance(key, str) or not key or len(key) > MAX_KEY:
        raise FilterError(f"A filter's key must be a string of 1 to {MAX_KEY} characters.", path=f"{path}.key")
    return key


def _scalar(raw: object, path: str) -> Scalar:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int | float):
        try:
            value = float(raw)
        except OverflowError:
            raise FilterError("A filter's number is too large.", path=path) from None
        if not math.isfinite(value):
            raise FilterError("A filter's number must be finite.", path=path)
        return value
    if isinstance(raw, str):
        if len(raw) > MAX_STRING:
            raise FilterError(f"A filter's string may have at most {MAX_STRING} characters.", path=path)
        return raw
    raise FilterError("A filter's value must be a string, a number or a boolean.", path=path)


def _operand(kind: str, node: Mapping[str, object], path: str) -> Scalar:
    if "value" not in node:
        raise FilterError("A comparison filter needs 'value'.", path=f"{path}.value")
    value = _scalar(node["value"], f"{path}.value")
    if isinstance(value, bool) and kind in ("gt", "gte", "lt", "lte"):
        raise FilterError(f"'{kind}' cannot compare booleans.", path=f"{path}.value")
    return value


def _values(node: Mapping[str, object], path: str) -> tuple[Scalar, ...]:
    raw = node.get("value")
    if not isinstance(raw, list):
        raise FilterError("'in' and 'nin' need an array as 'value'.", path=f"{path}.value")
    values = cast("list[object]", raw)
    if len(values) > MAX_VALUES:
        raise FilterError(f"'in' and 'nin' take at most {MAX_VALUES} values.", path=f"{path}.value")
    return tuple(_scalar(value, f"{path}.value[{i}]") for i, value in enumerate(values))
