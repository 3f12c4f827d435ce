"""The edges of a turn, over HTTP: servers that stop, clients that leave, answers that are cut, items named twice."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server, serve, upstream_of

RULES: list[Any] = [
    {"when": {"contains": "hang"}, "reply": {"text": ["half ", "an "], "fault": {"kind": "hang", "after": 2}}},
    {"when": {"contains": "slowly"}, "reply": {"text": "one two three four five six", "delay": 0.1}},
    {
        "when": {"contains": "cut both"},
        "reply": {
            "tool_calls": [
                {"name": "file_search", "arguments": {"queries": ["refunds"]}},
                {"name": "get_weather", "arguments": {"city": "Oslo"}},
            ],
            "finish_reason": "length",
        },
    },
]
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture(scope="module")
def edgy() -> Iterator[Server]:
    """An upstream that plays the rules above."""
    with upstream_of(RULES) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def graceful(edgy: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets a turn go on for half a minute after its client went away."""
    environment = {"OPENAI_BASE_URL": edgy.base_url, "ONWARD_DISCONNECT_GRACE": "30"}
    with serve(tmp_path_factory.mktemp("data"), environment) as server:
        yield server


class Hanging:
    """Clients whose turns hang: a stream on a conversation, one that asked to go on, and a call without a stream."""

    def __init__(self, client: OpenAI) -> None:
        self.client = client
        self.conversation = client.conversations.create().id
        self.ids: list[str] = []
        self.refused: list[int] = []
        self._deltas = threading.Semaphore(0)
        going_on = {"extra_headers": {"Onward-On-Disconnect": "continue"}}
        self._threads = [
            threading.Thread(target=self._stream, kwargs={"conversation": self.conversation}),
            threading.Thread(target=self._stream, kwargs=going_on),
            threading.Thread(target=self._ask),
        ]
        for thread in self._threads:
            thread.start()
        assert all(self._deltas.acquire(timeout=20) for _ in range(4))

    def join(self) -> None:
        """Wait until all have learned that the server is gone."""
        for thread in self._threads:
            thread.join(5)

    def _stream(self, **fields: Any) -> None:
        with pytest.raises(Exception, match=r"(?i)connection"):  # before 3.x the SDK lets the transport's error through
            self._read(self.client.responses.create(model="m", input="hang", stream=True, **fields))

    def _read(self, events: Any) -> None:
        for event in events:
            if event.type == "response.created":
                self.ids.append(event.response.id)
            elif event.type == "response.output_text.delta":
                self._deltas.release()

    def _ask(self) -> None:
        with pytest.raises(openai.InternalServerError) as error:
            self.client.responses.create(model="m", input="hang")
        self.refused.append(error.value.status_code)


@pytest.mark.ledger("responses:shutdown")
def test_a_server_that_stops_ends_its_turns_truthfully(edgy: Server, tmp_path: Path) -> None:
    environment = {"OPENAI_BASE_URL": edgy.base_url}
    with serve(tmp_path, environment) as server:
        hanging = Hanging(server.client())
        server.process.terminate()
        server.process.wait(12)
        hanging.join()
    assert hanging.refused == [503] and len(hanging.ids) == 2
    with serve(tmp_path, environment) as server:
        client = server.client()
        stored = [client.responses.retrieve(response_id) for response_id in hanging.ids]
        assert [(one.status, one.output_text) for one in stored] == [("cancelled", "half an ")] * 2
        after = client.responses.create(model="m", input="hello", conversation=hanging.conversation)
        assert after.output_text == "You said: hello"


@pytest.mark.ledger("responses:disconnect_grace")
@pytest.mark.parametrize("parent", ["none", "conversation"])
def test_a_turn_goes_on_for_the_grace_after_its_client_left(graceful: Server, parent: str) -> None:
    client = graceful.client()
    conversation = client.conversations.create() if parent == "conversation" else None
    fields: dict[str, Any] = {"conversation": conversation.id} if conversation else {}
    events = client.responses.create(model="m", input="slowly", stream=True, **fields)
    first = next(iter(events))
    assert first.type == "response.created"
    events.close()
    eventually(lambda: client.responses.retrieve(first.response.id).status == "completed")
    assert client.responses.retrieve(first.response.id).output_text == "one two three four five six"
    if conversation:
        assert len(client.conversations.items.list(conversation.id).data) == 2


@pytest.mark.ledger("responses:disconnect_cancel")
def test_a_client_can_ask_to_be_cancelled_at_once(graceful: Server, edgy: Server) -> None:
    client = graceful.client()
    headers = {"Onward-On-Disconnect": "cancel"}
    events = client.responses.create(model="m", input="hang", stream=True, extra_headers=headers)
    first = next(iter(events))
    assert first.type == "response.created"
    events.close()
    eventually(lambda: client.responses.retrieve(first.response.id).status == "cancelled")
    with pytest.raises(openai.BadRequestError, match="Onward-On-Disconnect"):
        client.responses.create(model="m", input="hello", extra_headers={"Onward-On-Disconnect": "perhaps"})


@pytest.mark.ledger("streams:cut_calls")
def test_calls_that_were_cut_short_end_incomplete_and_block_nothing(graceful: Server, edgy: Server) -> None:
    client = graceful.client()
    store = client.vector_stores.create()
    tools: Any = [{"type": "file_search", "vector_store_ids": [store.id]}, WEATHER]
    events = list(client.responses.create(model="m", input="cut both", tools=tools, stream=True))
    added = [event.item.id for event in events if event.type == "response.output_item.added"]
    done = [event.item.id for event in events if event.type == "response.output_item.done"]
    last = events[-1]
    assert last.type == "response.incomplete" and set(added) == set(done) and len(added) == len(done) == 2
    assert [item.id for item in last.response.output] == added
    assert {item.status for item in last.response.output} == {"incomplete"}  # type: ignore[union-attr]
    assert client.responses.retrieve(last.response.id).to_dict() == last.response.to_dict()
    following = client.responses.create(model="m", input="go on", previous_response_id=last.response.id)
    assert following.output_text == "You said: go on"
    sent = client._client.get(f"{edgy.url}/requests").json()["data"][-1]["body"]["messages"]
    assert [message["role"] for message in sent] == ["user", "user"]


@pytest.mark.ledger("input:duplicate_reference")
def test_a_reference_to_an_item_of_the_context_is_a_duplicate(client: OpenAI) -> None:
    first = client.responses.create(model="m", input="hi")
    reference: Any = {"type": "item_reference", "id": first.output[0].id}
    question: Any = {"role": "user", "content": "again"}
    assert client.responses.create(model="m", input=[reference, question]).status == "completed"
    with pytest.raises(openai.BadRequestError, match=f"Duplicate item found with id {first.output[0].id}"):
        client.responses.create(model="m", input=[reference, question], previous_response_id=first.id)


def eventually(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds. Raises AssertionError after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.05)
