"""Filters: what decodes, what is refused and where, and what matches."""

import pytest

from onward.ports.filters import Attributes, FilterError, decode_filter
from onward.retrieval.index.masks import matches

ATTRIBUTES: Attributes = {"name": "beta", "n": 5.0, "flag": True}


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        ("eq", "name", "beta", True),
        ("eq", "n", 5, True),
        ("eq", "flag", 1, False),
        ("eq", "n", True, False),
        ("eq", "missing", "x", False),
        ("ne", "missing", "x", True),
        ("ne", "name", "beta", False),
        ("gt", "n", 4, True),
        ("gt", "n", 5, False),
        ("gte", "n", 5, True),
        ("lt", "name", "c", True),
        ("lte", "name", "a", False),
        ("lt", "name", 9, False),
        ("gt", "flag", 0, False),
        ("in", "n", [1, 5], True),
        ("in", "missing", [1], False),
        ("nin", "missing", [1], True),
        ("nin", "name", ["beta"], False),
        ("in", "flag", [1], False),
    ],
)
def test_comparisons(kind: str, key: str, value: object, expected: bool) -> None:
    assert matches(decode_filter({"type": kind, "key": key, "value": value}), ATTRIBUTES) is expected


def test_compounds_nest() -> None:
    low = {"type": "lt", "key": "n", "value": 1}
    named = {"type": "eq", "key": "name", "value": "beta"}
    both = {"type": "and", "filters": [named, {"type": "or", "filters": [low, named]}]}
    assert matches(decode_filter(both), ATTRIBUTES)
    assert not matches(decode_filter({"type": "and", "filters": [named, low]}), ATTRIBUTES)


MALFORMED: list[tuple[object, str]] = [
    ([], "filters"),
    ({}, "filters.type"),
    ({"type": ["eq"]}, "filters.type"),
    ({"type": "like", "key": "a", "value": 1}, "filters.type"),
    ({"type": "eq", "key": "", "value": 1}, "filters.key"),
    ({"type": "eq", "key": "a"}, "filters.value"),
    ({"type": "eq", "key": "a", "value": None}, "filters.value"),
    ({"type": "eq", "key": "a", "value": [1]}, "filters.value"),
    ({"type": "eq", "key": "a", "value": float("nan")}, "filters.value"),
    ({"type": "eq", "key": "a", "value": 10**400}, "filters.value"),
    ({"type": "eq", "key": "a", "value": "x" * 513}, "filters.value"),
    ({"type": "gt", "key": "a", "value": True}, "filters.value"),
    ({"type": "in", "key": "a", "value": "b"}, "filters.value"),
    ({"type": "in", "key": "a", "value": [{}]}, "filters.value[0]"),
    ({"type": "in", "key": "a", "value": [1] * 1001}, "filters.value"),
    ({"type": "and", "filters": []}, "filters.filters"),
    ({"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}, 3]}, "filters.filters[1]"),
]


@pytest.mark.parametrize(("raw", "path"), MALFORMED)
def test_malformed_filters_say_where(raw: object, path: str) -> None:
    with pytest.raises(FilterError) as caught:
        decode_filter(raw)
    assert caught.value.path == path and caught.value.message


def test_depth_and_width_are_limited() -> None:
    deep: dict[str, object] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(8):
        deep = {"type": "and", "filters": [deep]}
    with pytest.raises(FilterError, match="nested"):
        decode_filter(deep)
    leaf = {"type": "eq", "key": "a", "value": 1}
    with pytest.raises(FilterError, match="at most 256"):
        decode_filter({"type": "or", "filters": [leaf] * 256})
