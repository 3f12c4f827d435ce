"""Items become chat messages whose bytes concatenate."""

import msgspec
import pytest

from onward.core.errors import RequestError
from onward.core.items import Item
from onward.models.chat_completions.render import render_items
from onward.models.profiles import Profile
from onward.ports.model import Capabilities


def item(kind: str, **fields: object) -> Item:
    return Item(id="i", type=kind, body=msgspec.json.encode({"id": "i", "type": kind, **fields}))


def messages(*items: Item, profile: Profile | None = None) -> list[dict[str, object]]:
    fragment = render_items(items, profile or Profile())
    return msgspec.json.decode(b"[" + fragment[:-1] + b"]", type=list[dict[str, object]])


def message(role: str, content: object) -> Item:
    return item("message", role=role, content=content)


def call(number: int, name: str = "f") -> Item:
    return item("function_call", call_id=f"call_{number}", name=name, arguments=f'{{"n":{number}}}')


def output(number: int, value: object) -> Item:
    return item("function_call_output", call_id=f"call_{number}", output=value)


IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}


def test_fragments_concatenate() -> None:
    items = [message("user", "a"), message("assistant", [{"type": "output_text", "text": "b", "annotations": ()}])]
    whole = render_items(items, Profile())
    assert whole == b"".join(render_items([one], Profile()) for one in items)


def test_calls_of_one_turn_are_one_message() -> None:
    rendered = messages(message("assistant", "Wait."), call(1), call(2), output(1, "x"), output(2, "y"))
    assert rendered == [
        {
            "role": "assistant",
            "content": "Wait.",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "f", "arguments": '{"n":1}'}, "type": "function"},
                {"id": "call_2", "function": {"name": "f", "arguments": '{"n":2}'}, "type": "function"},
            ],
        },
        {"role": "tool", "content": "x", "tool_call_id": "call_1"},
        {"role": "tool", "content": "y", "tool_call_id": "call_2"},
    ]


def test_text_after_calls_does_not_part_them_from_their_outputs() -> None:
    rendered = messages(call(1), message("assistant", "Wait."), output(1, "x"))
    assert [entry["role"] for entry in rendered] == ["assistant", "tool"]
    assert rendered[0]["content"] == "Wait."


def test_images_of_outputs_follow_all_outputs() -> None:
    parts = [{"type": "input_text", "text": "see"}, IMAGE]
    rendered = messages(call(1), call(2), output(1, parts), output(2, "y"), message("user", "go on"))
    assert [entry["role"] for entry in rendered] == ["assistant", "tool", "tool", "user", "user"]
    assert rendered[1]["content"] == "see"
    assert rendered[3]["content"] == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]


def test_images_and_text_in_a_message() -> None:
    (rendered,) = messages(message("user", [{"type": "input_text", "text": "what?"}, IMAGE | {"detail": "low"}]))
    assert rendered["content"] == [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
    ]


def test_files_are_sent_where_a_model_takes_them() -> None:
    asked = message(
        "user", [{"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}]
    )
    (rendered,) = messages(asked, profile=Profile(files=True))
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}
    assert rendered["content"] == [{"type": "file", "file": file}]
    with pytest.raises(RequestError):
        messages(asked)


def test_an_image_that_was_not_resolved_is_refused() -> None:
    with pytest.raises(RequestError):
        messages(message("user", [{"type": "input_image", "file_id": "file-1"}]))


def test_images_are_refused_where_a_model_takes_none() -> None:
    with pytest.raises(RequestError):
        messages(message("user", [IMAGE]), profile=Profile(capabilities=Capabilities(images=False)))


@pytest.mark.parametrize("kind", ["file_search_call", "web_search_call", "made_up", "reasoning", "compaction"])
def test_other_items_render_as_nothing(kind: str) -> None:
    assert render_items([item(kind, anything={"x": 1})], Profile()) == b""


def test_developer_role_follows_the_profile() -> None:
    assert messages(message("developer", "d"))[0]["role"] == "system"
    assert messages(message("developer", "d"), profile=Profile(developer_role="developer"))[0]["role"] == "developer"


def test_reasoning_returns_where_the_model_wants_it() -> None:
    thought = item("reasoning", summary=[], content=[{"type": "reasoning_text", "text": "hm"}])
    rendered = messages(thought, call(1), profile=Profile(replay_reasoning=True))
    assert rendered[0]["reasoning_content"] == "hm"
    assert len(rendered) == 1


def test_constrained_history_is_text() -> None:
    profile = Profile(capabilities=Capabilities(tool_mode="constrained"))
    rendered = messages(call(1), output(1, "x"), profile=profile)
    assert rendered == [
        {"role": "assistant", "content": '{"call":{"name":"f","arguments":{"n":1}}}'},
        {"role": "user", "content": "Result of the function call:\nx"},
    ]
