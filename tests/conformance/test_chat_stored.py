"""Stored chat completions through the SDK: retrieve, list, label, delete, their messages, and what storing costs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion
from servers import Server, scripted, serve

WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = 'call weather {"city": "Oslo"}'


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, upstream: Server) -> Iterator[Server]:
    """A server of this module's own, because its lists are counted."""
    with serve(tmp_path_factory.mktemp("chat"), {"OPENAI_BASE_URL": upstream.base_url}) as server:
        yield server


@pytest.fixture
def client(stored: Server) -> Iterator[OpenAI]:
    with stored.client() as one:
        yield one
        for made in one.chat.completions.list(limit=100):
            one.chat.completions.delete(made.id)


def ask(client: OpenAI, messages: Any, **fields: Any) -> ChatCompletion:
    """Ask with a text or with messages, and store the answer."""
    given: Any = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return cast("ChatCompletion", client.chat.completions.create(model="m", messages=given, store=True, **fields))


def stream(client: OpenAI, messages: Any, **fields: Any) -> str:
    """Ask for a stream, read it to its end and return the completion's id."""
    chunks = list(client.chat.completions.create(model="m", messages=messages, store=True, stream=True, **fields))
    return str(chunks[0].id)


def rows(server: Server) -> dict[str, int]:
    """Return how many rows the tables of the item log have."""
    with closing(sqlite3.connect(server.data / "state.db")) as state:
        tables = ("items", "entries", "run_items", "runs", "logs", "recordings")
        return {name: state.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


@pytest.mark.ledger("chat:stored")
def test_a_stored_completion_is_what_create_answered(client: OpenAI) -> None:
    form: Any = {"type": "text"}
    made = ask(
        client, CALL, tools=[WEATHER], metadata={"k": "v"}, temperature=0.5, seed=7, user="u", response_format=form
    )
    shown = client.chat.completions.retrieve(made.id).to_dict()
    assert made.to_dict().items() <= shown.items()
    more = {name: shown[name] for name in ("tools", "temperature", "seed", "input_user", "tool_choice")}
    assert more == {"tools": [WEATHER], "temperature": 0.5, "seed": 7, "input_user": "u", "tool_choice": None}
    legacy = ask(client, CALL, functions=[WEATHER["function"]])
    assert client.chat.completions.retrieve(legacy.id).choices == legacy.choices


@pytest.mark.ledger("chat:stored")
def test_a_stream_is_stored_as_it_was_streamed(client: OpenAI) -> None:
    completion_id = stream(client, [{"role": "user", "content": "hello"}], metadata={"s": "1"})
    shown = client.chat.completions.retrieve(completion_id)
    assert shown.choices[0].message.content == "You said: hello" and shown.metadata == {"s": "1"}
    assert shown.usage is not None and shown.usage.total_tokens > 0


@pytest.mark.ledger("chat:not_stored")
def test_nothing_is_kept_without_being_asked_for(client: OpenAI, stored: Server) -> None:
    before = rows(stored)
    made = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], metadata={"k": "v"})
    list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True))
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(made.id)
    assert client.chat.completions.list().data == [] and rows(stored) == before


@pytest.mark.ledger("chat:list")
def test_the_list_is_by_creation_and_filtered(client: OpenAI) -> None:
    made = [ask(client, str(number), metadata={"n": str(number), "all": "x"}).id for number in range(5)]
    other = client.chat.completions.create(
        model="other", messages=[{"role": "user", "content": "hi"}], store=True, metadata={"all": "x"}
    ).id
    page = client.chat.completions.list(limit=4)
    assert [one.id for one in page.data] == made[:4] and page.has_more
    assert [one.id for one in client.chat.completions.list(limit=2)] == [*made, other]
    assert [one.id for one in client.chat.completions.list(order="desc", limit=2)] == [other, *made[::-1]]
    assert [one.id for one in client.chat.completions.list(model="other")] == [other]
    assert [one.id for one in client.chat.completions.list(metadata={"n": "3"})] == [made[3]]
    assert [one.id for one in client.chat.completions.list(metadata={"n": "3", "all": "y"})] == []
    assert len(list(client.chat.completions.list(metadata={"all": "x"}, limit=1))) == 6
    assert page.data[0].choices[0].message.content == "You said: 0"


@pytest.mark.ledger("chat:list")
def test_a_list_is_paged_while_its_elements_are_deleted(client: OpenAI) -> None:
    for number in range(5):
        ask(client, str(number))
    seen = 0
    for made in client.chat.completions.list(limit=2):
        client.chat.completions.delete(made.id)
        seen += 1
    assert seen == 5 and client.chat.completions.list().data == []
    for unknown in ("chatcmpl-" + "0" * 32, "nonsense"):
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.list(after=unknown)


@pytest.mark.ledger("chat:update")
def test_an_update_replaces_the_metadata(client: OpenAI) -> None:
    made = ask(client, "hi", metadata={"a": "1", "b": "2"})
    updated = client.chat.completions.update(made.id, metadata={"c": "3"})
    assert updated.metadata == {"c": "3"} and updated.choices == made.choices
    assert client.chat.completions.retrieve(made.id).metadata == {"c": "3"}
    assert [one.id for one in client.chat.completions.list(metadata={"c": "3"})] == [made.id]
    assert client.chat.completions.update(made.id, metadata=None).metadata == {}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.update(made.id, metadata=cast("Any", {"a": 1}))


@pytest.mark.ledger("chat:delete")
def test_a_deleted_completion_is_gone_and_what_builds_on_it_is_not(client: OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "one"}]
    first = ask(client, messages)
    messages += [first.choices[0].message.to_dict(), {"role": "user", "content": "two"}]
    second = ask(client, messages)
    gone = client.chat.completions.delete(first.id)
    assert (gone.id, gone.deleted, gone.object) == (first.id, True, "chat.completion.deleted")
    for call in (client.chat.completions.retrieve, client.chat.completions.delete):
        with pytest.raises(openai.NotFoundError, match=f"Chat completion with id '{first.id}' not found"):
            call(first.id)
    assert client.chat.completions.retrieve(second.id).choices == second.choices
    assert len(transcript(client, second.id)) == 3


def transcript(client: OpenAI, completion_id: str, **page: Any) -> list[Any]:
    """Return all messages of a completion. The SDK's type allows the assistant's role alone, so it is not strict."""
    loose = client.copy()
    loose._strict_response_validation = False
    return [one.to_dict() for one in loose.chat.completions.messages.list(completion_id, **page)]


def without_id(message: Any) -> Any:
    return {name: value for name, value in message.items() if name != "id" and value not in (None, [])}


@pytest.mark.ledger("chat:messages")
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_the_messages_of_a_completion_come_in_pages(client: OpenAI, limit: int) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    parts = [{"type": "text", "text": "look"}, image]
    given: list[Any] = [
        {"role": "system", "content": f"Be brief: {limit}."},
        {"role": "user", "content": parts, "name": "ann"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call, call | {"id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": "snow"},
        {"role": "assistant", "content": "Wet."},
        {"role": "user", "content": "thanks"},
    ]
    expected = [*given]
    expected[1] = {"role": "user", "name": "ann", "content_parts": parts}
    made = ask(client, given)
    up = transcript(client, made.id, limit=limit)
    assert [without_id(one) for one in up] == expected
    down = transcript(client, made.id, limit=limit, order="desc")
    assert down == up[::-1] and len({one["id"] for one in up}) == len(up)
    # The next turn sends all of it again: its messages are the stored ones and what is new.
    later = ask(client, [*given, made.choices[0].message.to_dict(), {"role": "user", "content": "bye"}])
    assert [one["id"] for one in transcript(client, later.id, limit=limit)][:7] == [one["id"] for one in up]
    with pytest.raises(openai.NotFoundError):
        transcript(client, made.id, after="msg_" + "0" * 32)


@pytest.mark.ledger("chat:prefix")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_history_that_is_sent_again_costs_what_is_new(client: OpenAI, stored: Server, streamed: bool) -> None:
    messages: list[Any] = [{"role": "system", "content": f"Streamed: {streamed}."}]
    grown: list[dict[str, int]] = []
    for number in range(6):
        messages.append({"role": "user", "content": f"question {number}"})
        before = rows(stored)
        made = client.chat.completions.retrieve(stream(client, messages)) if streamed else ask(client, messages)
        messages.append(made.choices[0].message.to_dict())
        grown.append({name: count - before[name] for name, count in rows(stored).items()})
    later = {"items": 2, "entries": 2, "run_items": 2, "runs": 1, "logs": 0, "recordings": 0}
    assert grown[0] == later | {"items": 3, "entries": 3, "run_items": 3, "logs": 1}
    assert grown[1:] == [later] * 5


@pytest.mark.ledger("chat:prefix")
def test_a_history_of_calls_is_recognised_too(client: OpenAI, stored: Server) -> None:
    messages: list[Any] = [{"role": "user", "content": f"first\n{CALL}"}]
    first = ask(client, messages, tools=[WEATHER]).choices[0].message
    assert first.tool_calls is not None
    messages += [first.to_dict(), {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "rain"}]
    before = rows(stored)
    answer = ask(client, messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "The tool said: rain"
    assert {name: count - before[name] for name, count in rows(stored).items()} == {
        "items": 2, "entries": 2, "run_items": 2, "runs": 1, "logs": 0, "recordings": 0,
    }  # fmt: skip
    assert [one["role"] for one in transcript(client, answer.id)] == ["user", "assistant", "tool"]


@pytest.mark.ledger("chat:prefix")
def test_reasoning_is_not_part_of_the_history() -> None:
    with scripted([{"reply": {"reasoning": "Let me see.", "text": "Done."}}]) as (client, upstream):
        messages: list[Any] = [{"role": "user", "content": "one"}]
        first = ask(client, messages).choices[0].message
        assert first.to_dict()["reasoning_content"] == "Let me see."
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "two"}]
        ask(client, messages)
        with closing(sqlite3.connect(upstream.data / "data" / "state.db")) as state:
            assert state.execute("SELECT count(*) FROM logs").fetchone()[0] == 1
            assert state.execute("SELECT count(*) FROM items").fetchone()[0] == 4


@pytest.mark.ledger("chat:visibility")
def test_a_completion_is_no_response_and_a_response_no_completion(client: OpenAI) -> None:
    made = ask(client, "hi")
    response_id = made.id.replace("chatcmpl-", "resp_")
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(response_id)
    for parent in (made.id, response_id):
        with pytest.raises(openai.BadRequestError) as error:
            client.responses.create(model="m", input="on", previous_response_id=parent)
        assert error.value.code == "previous_response_not_found"
    response = client.responses.create(model="m", input="hello")
    for name in (response.id, response.id.replace("resp_", "chatcmpl-"), "chatcmpl-", "x"):
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve(name)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.update(name, metadata={})
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.delete(name)
    assert client.responses.retrieve(response.id).id == response.id
    assert [one.id for one in client.chat.completions.list()] == [made.id]


@pytest.mark.ledger("chat:visibility")
def test_failed_and_unfinished_completions_are_not_listed() -> None:
    rules: list[Any] = [
        {"when": {"contains": "wrong"}, "reply": {"fault": {"kind": "status", "status": 400}}},
        {"when": {"contains": "cut"}, "reply": {"text": "a b c", "fault": {"kind": "cut", "after": 2}}},
        {"when": {"contains": "slow"}, "reply": {"text": ["x "] * 500, "delay": 0.05}},
    ]
    with scripted(rules) as (client, _):
        with pytest.raises(openai.BadRequestError):
            ask(client, "wrong")
        with pytest.raises(openai.APIError):
            stream(client, [{"role": "user", "content": "cut"}])
        question: Any = [{"role": "user", "content": "slow"}]
        events = client.chat.completions.create(model="m", messages=question, store=True, stream=True)
        first = next(iter(events))
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve(first.id)
        assert client.chat.completions.list().data == []
        events.close()
