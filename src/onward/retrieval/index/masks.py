"""Filters evaluated over the attributes of a store's files.

It knows no rows and no scores.
"""

from __future__ import annotations

from typing import assert_never

from onward.ports.filters import Attributes, Comparison, Compound, Filter, Membership, Scalar


def matches(filter: Filter, attributes: Attributes) -> bool:
    """Say whether a file with ``attributes`` passes ``filter``; values of different types are never equal."""
    match filter:
        case Compound(type="and"):
            return all(matches(child, attributes) for child in filter.filters)
        case Compound():
            return any(matches(child, attributes) for child in filter.filters)
        case Membership():
            value = attributes.get(filter.key)
            found = value is not None and any(_equal(value, item) for item in filter.value)
            return found == (filter.type == "in")
        case Comparison():
            return _compare(filter, attributes.get(filter.key))
        case _:
            assert_never(filter)


def _compare(filter: Comparison, value: Scalar | None) -> bool:
    if filter.type == "eq":
        return value is not None and _equal(value, filter.value)
    if filter.type == "ne":
        return value is None or not _equal(value, filter.value)
    order = None if value is None else _order(value, filter.value)
    if order is None:
        return False
    match filter.type:
        case "gt":
            return order > 0
        case "gte":
            return order >= 0
        case "lt":
            return order < 0
        case "lte":
            return order <= 0
        case _:
            assert_never(filter.type)


def _equal(left: Scalar, right: Scalar) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _order(left: Scalar, right: Scalar) -> int | None:
    if isinstance(left, bool) or isinstance(right, bool):
        return None
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if isinstance(left, str) or isinstance(right, str):
        return None
    return (left > right) - (left < right)
