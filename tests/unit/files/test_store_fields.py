"""Fields of vector store requests: chunking strategies, attributes, expiry; and how pages are bounded."""

from typing import Any

import pytest

from onward.api.resources.store_views import poll_headers
from onward.api.resources.strategies import (
    ExpiresAfter,
    StaticSizes,
    Strategy,
    check_attributes,
    days_of,
    recipe_of,
    shown_attributes,
)
from onward.core.errors import RequestError
from onward.ports.parse import Recipe


def test_auto_stands_for_800_and_400() -> None:
    assert recipe_of(None) == recipe_of(Strategy("auto")) == Recipe(800, 400)
    assert recipe_of(Strategy("static", StaticSizes(100, 50))) == Recipe(100, 50)


@pytest.mark.parametrize(
    ("size", "overlap", "param"),
    [
        (99, 0, "max_chunk_size_tokens"),
        (4097, 0, "max_chunk_size_tokens"),
        (800, 401, "chunk_overlap_tokens"),
        (800, -1, "chunk_overlap_tokens"),
    ],
)
def test_sizes_outside_the_contract_are_refused(size: int, overlap: int, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        recipe_of(Strategy("static", StaticSizes(size, overlap)))
    assert refused.value.param == f"chunking_strategy.static.{param}"


def test_static_needs_sizes() -> None:
    with pytest.raises(RequestError, match=r"chunking_strategy\.static"):
        recipe_of(Strategy("static"))


def test_attributes_keep_their_kind() -> None:
    checked = check_attributes({"a": "x", "n": 3, "f": 1.5, "b": True})
    assert checked == {"a": "x", "n": 3.0, "f": 1.5, "b": True} and checked["b"] is True
    assert repr(shown_attributes(checked)) == "{'a': 'x', 'n': 3, 'f': 1.5, 'b': True}"


@pytest.mark.parametrize(
    "raw",
    [
        {str(number): 1 for number in range(17)},
        {"k" * 257: 1},
        {"a": "v" * 513},
        {"a": None},
        {"a": [1]},
        {"a": 10**400},
        {"a": float("inf")},
    ],
)
def test_attributes_outside_the_contract_are_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        check_attributes(raw)
    assert refused.value.param is not None and refused.value.param.startswith("attributes")


def test_expiry_counts_days_from_the_last_use() -> None:
    assert days_of(ExpiresAfter("last_active_at", 7)) == 7
    for anchor, days in (("created_at", 7), ("last_active_at", 0), ("last_active_at", 366)):
        with pytest.raises(RequestError):
            days_of(ExpiresAfter(anchor, days))


def test_polls_are_paced_by_what_is_left() -> None:
    assert poll_headers(0) is None
    paces = [int((poll_headers(count) or {})["openai-poll-after-ms"]) for count in (1, 20, 2000)]
    assert paces == sorted(paces) and paces[0] >= 100 and paces[-1] <= 500
