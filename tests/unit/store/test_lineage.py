"""The rolling hash: what counts as the same history, and what does not."""

import pytest

from onward.core.items import Item, encode
from onward.core.lineage import EMPTY_HASH, extend_hash


def item(body: dict[str, object]) -> Item:
    role = body.get("role")
    return Item(str(body.get("id", "x")), str(body["type"]), encode(body), role if isinstance(role, str) else None)


def hash_of(*bodies: dict[str, object]) -> bytes:
    running = EMPTY_HASH
    for body in bodies:
        running = extend_hash(running, item(body))
    return running


STORED: dict[str, object] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "hi", "annotations": [{"type": "file_citation"}], "logprobs": []}],
}
CALL: dict[str, object] = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
SEARCH: dict[str, object] = {"id": "fs_1", "type": "file_search_call", "queries": ["q"], "status": "completed"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STORED, {"type": "message", "role": "assistant", "content": "hi"}),
        (STORED, {**STORED, "id": "msg_2", "status": None, "phase": "final_answer"}),
        (STORED, {**STORED, "content": [{"type": "output_text", "text": "hi"}]}),
        (CALL, {**CALL, "id": "fc_2", "status": "completed", "namespace": None}),
        (SEARCH, {**SEARCH, "results": [{"file_id": "file_1"}]}),
        (CALL, dict(reversed(CALL.items()))),
    ],
)
def test_two_forms_of_one_item_hash_alike(one: dict[str, object], other: dict[str, object]) -> None:
    assert hash_of(one) == hash_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STORED, {**STORED, "content": "hi "}),
        (STORED, {**STORED, "role": "user"}),
        (STORED, {**STORED, "content": [{"type": "refusal", "refusal": "hi"}]}),
        (STORED, {**STORED, "content": []}),
        (CALL, {**CALL, "call_id": "d"}),
        (CALL, {**CALL, "arguments": "{ }"}),
        (CALL, {**CALL, "type": "custom_tool_call"}),
        (SEARCH, {**SEARCH, "queries": ["r"]}),
    ],
)
def test_what_a_model_would_read_differently_hashes_differently(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert hash_of(one) != hash_of(other)


def test_the_order_counts() -> None:
    assert hash_of(STORED, CALL) != hash_of(CALL, STORED)
    assert hash_of(STORED, CALL) != hash_of(CALL)
