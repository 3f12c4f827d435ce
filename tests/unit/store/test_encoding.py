"""Compact forms give back what they were given."""

from hypothesis import given
from hypothesis import strategies as st

from onward.core.ids import new_id, new_item_id
from onward.core.lineage import Segment
from onward.core.turns import RunError
from onward.core.usage import Usage
from onward.store.sqlite.encoding import (
    pack_error,
    pack_id,
    pack_lineage,
    pack_names,
    pack_object,
    pack_role,
    pack_type,
    pack_usage,
    unpack_error,
    unpack_id,
    unpack_lineage,
    unpack_names,
    unpack_object,
    unpack_role,
    unpack_type,
    unpack_usage,
)

COUNT = st.integers(0, 2**40)


@given(st.text() | st.from_regex(r"[a-z]{0,5}_?[0-9a-fA-F]{30,34}\n?", fullmatch=True))
def test_any_public_id_comes_back(public_id: str) -> None:
    assert unpack_id(pack_id(public_id)) == public_id


def test_our_ids_are_short() -> None:
    assert len(pack_id(new_id("resp_"))) == 5 + 16
    assert isinstance(pack_id("resp_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b"), str)


@given(st.text(), st.none() | st.text())
def test_names_of_types_and_roles_come_back(kind: str, role: str | None) -> None:
    for name in (kind, "message", "function_call_output"):
        assert unpack_type(pack_type(name)) == name
    for name in (role, "user", "critic"):
        assert unpack_role(pack_role(name)) == name
    assert new_item_id(kind)


@given(st.lists(st.builds(Segment, COUNT, COUNT, COUNT)), st.lists(st.text()))
def test_lineages_and_names_come_back(segments: list[Segment], names: list[str]) -> None:
    assert unpack_lineage(pack_lineage(tuple(segments))) == tuple(segments)
    assert unpack_names(pack_names(tuple(names))) == tuple(names)


@given(st.builds(Usage, COUNT, COUNT, COUNT, COUNT, COUNT, st.booleans()), st.none() | st.builds(RunError))
def test_usage_and_errors_come_back(usage: Usage, error: RunError | None) -> None:
    assert unpack_usage(pack_usage(usage)) == usage
    assert unpack_error(pack_error(error)) == error


def test_empty_values_take_no_room() -> None:
    assert pack_object(b"{}") is None and unpack_object(None) == b"{}"
    assert unpack_object(pack_object(b'{"a":1}')) == b'{"a":1}'
    assert pack_lineage(()) is None and pack_names(()) is None
    assert unpack_usage(None) == Usage()
