"""`/v1/responses` as a WebSocket: the SDK's connection, lanes, warm-up, and what a connection remembers."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from servers import Server, scripted, serve
from sockets import open_socket

pytestmark = pytest.mark.skipif(openai.__version__ < "3", reason="lanes and warm-ups came with the SDK's line 3")

ORDER = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]
RULES = [
    {"when": {"contains": "stuck"}, "reply": {"text": ["begun "], "fault": {"kind": "hang", "after": 1}}},
    {"when": {"contains": "broken"}, "reply": {"fault": {"kind": "status", "status": 500}}, "times": 5},
    {"when": {"contains": "half"}, "reply": {"text": ["one ", "two "], "fault": {"kind": "cut", "after": 1}}},
    {"when": {"contains": "thinks"}, "reply": {"reasoning": "hm", "text": "I thought."}},
]
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False, "required": []},
    "strict": True,
}


def collapsed(names: list[str]) -> list[str]:
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def asked(client: OpenAI, upstream: Server) -> list[Any]:
    """Return the bodies that the upstream was asked with."""
    return [one["body"] for one in client._client.get(f"{upstream.url}/requests").json()["data"]]


def text_of(response: Any) -> str:
    return "".join(part["text"] for item in response["output"] for part in item.get("content") or ())


@pytest.mark.ledger("websocket:events", "websocket:stored")
def test_the_sdk_is_told_the_events_of_a_stream_as_messages(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model="m", input="tell me")
        events: list[Any] = []
        for event in connection:
            events.append(event)
            if event.type == "response.completed":
                break
    assert collapsed([event.type for event in events]) == ORDER
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "You said: tell me"
    assert all(event.stream_id is None for event in events)
    final = events[-1].response
    assert client.responses.retrieve(final.id).output_text == "You said: tell me"
    again = list(client.responses.retrieve(final.id, stream=True))
    assert [e.to_dict() for e in again] == [e.to_dict() for e in events]


@pytest.mark.ledger("websocket:events", "websocket:lanes")
def test_the_asynchronous_sdk_runs_two_lanes_at_once(server: Server) -> None:
    async def ask() -> dict[str, str]:
        ended: dict[str, str] = {}
        async with AsyncOpenAI(base_url=server.base_url, api_key="none") as client, client.responses.connect() as one:
            for lane in ("red", "blue"):
                await one.response.create(model="m", input=f"I am {lane}", stream_id=lane)
            async for event in one:
                assert event.type != "error" and event.stream_id in ("red", "blue")
                if event.type == "response.completed":
                    ended[event.stream_id] = event.response.output_text
                if len(ended) == 2:
                    return ended
        return {}

    assert asyncio.run(ask()) == {"red": "You said: I am red", "blue": "You said: I am blue"}


@pytest.mark.ledger("websocket:conversation", "websocket:stored")
def test_chains_and_conversations_go_over_from_http_and_back(server: Server, client: OpenAI) -> None:
    conversation = client.conversations.create()
    first = client.responses.create(model="m", input="over http")
    with open_socket(server) as socket:
        second = socket.ask(input="over a socket", previous_response_id=first.id)
        assert second["previous_response_id"] == first.id and second["store"] is True
        assert socket.ask(input="kept", conversation=conversation.id)["conversation"] == {"id": conversation.id}
    third = client.responses.create(model="m", input="over http again", previous_response_id=second["id"])
    assert len(client.responses.input_items.list(third.id).data) == 5
    assert len(client.conversations.items.list(conversation.id).data) == 2


@pytest.mark.ledger("websocket:unstored")
def test_an_unstored_response_is_continued_on_its_connection_alone() -> None:
    with scripted(RULES) as (client, upstream):
        with open_socket(client) as socket:
            call = socket.ask(input="call weather {}", tools=[WEATHER], store=False)
            assert call["output"][0]["type"] == "function_call" and call["store"] is False
            output = {"type": "function_call_output", "call_id": call["output"][0]["call_id"], "output": "sunny"}
            told = socket.ask(input=[output], tools=[WEATHER], store=False, previous_response_id=call["id"])
            assert text_of(told) == "The tool said: sunny" and told["previous_response_id"] == call["id"]
            thought = socket.ask(input="thinks", store=False, previous_response_id=told["id"])
            last = socket.ask(input="and then?", store=False, previous_response_id=thought["id"])
            with open_socket(client) as other:
                lost = other.ask(input="and then?", store=False, previous_response_id=last["id"])
            assert lost["status"] == 400 and lost["error"]["code"] == "previous_response_not_found"
            kept = socket.ask(input="now keep it", previous_response_id=last["id"])
        history = asked(client, upstream)[-1]["messages"]
        said = [message.get("content") for message in history if message["role"] in ("user", "tool")]
        assert said == ["call weather {}", "sunny", "thinks", "and then?", "now keep it"]
        assert client.responses.retrieve(kept["id"]).output_text == "You said: now keep it"
        gone = client._client.get(f"{client.base_url}responses/{last['id']}")
        assert gone.status_code == 404


@pytest.mark.ledger("websocket:unstored")
def test_an_unstored_turn_on_a_stored_one_is_continued_too(server: Server, client: OpenAI, upstream: Server) -> None:
    stored = client.responses.create(model="m", input="stored")
    with open_socket(server) as socket:
        loose = socket.ask(input="loose", store=False, previous_response_id=stored.id, stream_id="a")
        other = socket.ask(input="forked", store=False, previous_response_id=loose["id"], stream_id="b")
        again = socket.ask(input="went on", store=False, previous_response_id=loose["id"], stream_id="a")
        old = socket.ask(input="again", store=False, previous_response_id=loose["id"], stream_id="a")
    assert text_of(other) == "You said: forked" and text_of(again) == "You said: went on"
    assert old["error"]["code"] == "previous_response_not_found", "only the last response of a lane is remembered"
    said = [one["content"] for one in asked(client, upstream)[-1]["messages"] if one["role"] == "user"]
    assert said == ["stored", "loose", "went on"]


@pytest.mark.ledger("websocket:eviction")
@pytest.mark.parametrize("fault", [{"input": "broken"}, {"input": "half"}, {"input": "x", "temperature": 9}])
def test_a_failed_turn_evicts_what_it_continued(fault: dict[str, Any]) -> None:
    with scripted(RULES) as (client, _), open_socket(client) as socket:
        first = socket.ask(input="one", store=False)
        failed = socket.ask(store=False, previous_response_id=first["id"], **fault)
        assert failed.get("status") == "failed" or failed["type"] == "error"
        after = socket.ask(input="two", store=False, previous_response_id=first["id"])
        assert after["error"]["code"] == "previous_response_not_found"
        assert text_of(socket.ask(input="anew", store=False)) == "You said: anew"


@pytest.mark.ledger("websocket:warm_up")
def test_a_warm_up_asks_no_model_and_can_be_continued(server: Server, client: OpenAI, upstream: Server) -> None:
    before = len(asked(client, upstream))
    with client.responses.connect() as connection:
        connection.response.create(model="m", input="My name is Ada.", tools=[WEATHER], generate=False)
        events = [connection.recv() for _ in range(3)]
        assert [event.type for event in events] == ORDER[:2] + ORDER[-1:]
        warm: Any = events[-1]
        assert warm.response.output == [] and warm.response.usage.total_tokens == 0
        assert len(asked(client, upstream)) == before
        connection.response.create(model="m", input="Who am I?", previous_response_id=warm.response.id)
        while (event := connection.recv()).type != "response.completed":
            assert event.type != "error", event
    said = [one["content"] for one in asked(client, upstream)[-1]["messages"]]
    assert said == ["My name is Ada.", "Who am I?"]
    with open_socket(server) as socket:
        empty = socket.ask(generate=False, instructions="Be brief.")
        assert empty["status"] == "completed" and empty["store"] is False
        assert text_of(socket.ask(input="first", previous_response_id=empty["id"])) == "You said: first"
        wrong = socket.ask(generate=False, input="x", previous_response_id="resp_none")
        assert wrong["error"]["code"] == "previous_response_not_found"
        assert socket.ask(generate=False, input="x", conversation="conv_x")["error"]["param"] == "generate"


@pytest.mark.ledger("websocket:lanes")
def test_a_lane_is_first_in_first_out_and_no_lane_waits_for_another() -> None:
    with scripted(RULES) as (client, _):
        with open_socket(client) as socket:
            socket.create(input="stuck", stream_id="held")
            socket.create(input="behind", stream_id="held")
            for number in range(3):
                socket.create(input=f"no {number}")
                socket.create(input=f"lane {number}", stream_id="free")
            messages = [socket.receive() for _ in range(2)]
            while sum(one["type"] == "response.completed" for one in messages) < 6:
                messages.append(socket.receive())
        for lane, name in ((None, "no"), ("free", "lane")):
            own = [one for one in messages if one.get("stream_id") == lane]
            ended = [text_of(one["response"]) for one in own if one["type"] == "response.completed"]
            assert ended == [f"You said: {name} {number}" for number in range(3)]
            order = [one["type"] for one in own if one["type"] in ("response.created", "response.completed")]
            assert order == ["response.created", "response.completed"] * 3, "one at a time"
        assert all(one["type"] != "response.completed" for one in messages if one.get("stream_id") == "held")


@pytest.mark.ledger("websocket:limits")
def test_sixteen_turns_run_at_once_and_the_others_wait() -> None:
    with scripted(RULES) as (client, upstream):
        with open_socket(client) as socket:
            for number in range(20):
                socket.create(input="stuck", stream_id=f"lane {number}", store=False)
            begun: set[str] = set()
            while len(begun) < 16:
                begun.add(socket.receive()["stream_id"])
            assert text_of(json.loads(client.responses.create(model="m", input="hi").to_json()))
            assert sum(one["messages"][-1]["content"] == "stuck" for one in asked(client, upstream)) == 16
        requests = f"{upstream.url}/requests"
        eventually(lambda: client._client.get(requests).json()["disconnects"] == 16)


@pytest.mark.ledger("websocket:limits")
def test_a_connection_has_at_most_32_named_lanes(server: Server) -> None:
    with open_socket(server) as socket:
        for number in range(33):
            socket.create(input="x", stream_id=f"lane {number}", generate=False)
        refused = socket.turn("lane 32")[-1]
        assert refused["status"] == 400 and refused["error"]["code"] == "websocket_stream_limit_reached"
        assert refused["error"]["type"] == "invalid_request_error" and refused["error"]["param"] == "stream_id"
        assert socket.ask(input="x", stream_id="lane 3", generate=False)["status"] == "completed"
        assert socket.ask(input="x", generate=False)["status"] == "completed"


@pytest.mark.ledger("websocket:steer")
def test_what_cannot_be_steered_comes_back(client: OpenAI) -> None:
    with scripted(RULES) as (own, _), own.responses.connect() as connection:
        connection.response.create(model="m", input="stuck", stream_id="a")
        created: Any = connection.recv()
        connection.response.steer(input="faster", previous_response_id=created.response.id)
        while (event := connection.recv()).type != "response.steer.failed":
            assert event.type != "error"
        assert event.error.code == "steering_not_supported" and event.stream_id == "a"
        assert event.steer.input == "faster" and event.steer.previous_response_id == created.response.id
    with client.responses.connect() as connection:
        connection.response.create(model="m", input="x", generate=False)
        ended: Any = [connection.recv() for _ in range(3)][-1]
        for target, code in ((ended.response.id, "response_already_completed"), ("resp_x", "response_not_found")):
            more: Any = [{"type": "message", "role": "user", "content": "more"}]
            connection.response.steer(input=more, previous_response_id=target)
            failed: Any = connection.recv()
            assert failed.type == "response.steer.failed" and failed.error.code == code


@pytest.mark.ledger("websocket:cancel")
def test_a_response_of_a_socket_can_be_cancelled_over_http() -> None:
    with scripted(RULES) as (client, _), open_socket(client) as socket:
        socket.create(input="stuck")
        begun = socket.receive()["response"]["id"]
        client.responses.cancel(begun)
        assert socket.turn()[-1]["response"]["status"] == "cancelled"
        assert text_of(socket.ask(input="next")) == "You said: next"


@pytest.mark.ledger("websocket:disconnect")
def test_a_client_that_goes_away_ends_its_turns() -> None:
    with scripted(RULES) as (client, upstream):
        conversation = client.conversations.create()
        with open_socket(client) as socket:
            socket.create(input="stuck", conversation=conversation.id)
            socket.create(input="never asked")
            begun = socket.receive()["response"]["id"]
        eventually(lambda: client.responses.retrieve(begun).status == "cancelled")
        eventually(lambda: client._client.get(f"{upstream.url}/requests").json()["disconnects"] == 1)
        assert client.responses.create(model="m", input="free", conversation=conversation.id).status == "completed"
        assert all(one["messages"][-1]["content"] != "never asked" for one in asked(client, upstream))


@pytest.mark.ledger("websocket:disconnect")
def test_a_turn_goes_on_where_its_client_asked_for_that() -> None:
    rules = [{"when": {"contains": "slow"}, "reply": {"text": [f"{n} " for n in range(10)], "delay": 0.05}}]
    with scripted(rules) as (client, _):
        with open_socket(client, additional_headers={"Onward-On-Disconnect": "continue"}) as socket:
            socket.create(input="slow")
            begun = socket.receive()["response"]["id"]
        eventually(lambda: client.responses.retrieve(begun).status == "completed")


@pytest.mark.ledger("websocket:shutdown")
def test_a_server_that_restarts_says_so_and_the_sdk_comes_back(tmp_path: Any, upstream: Server) -> None:
    environment = {"OPENAI_BASE_URL": upstream.base_url}
    with serve(tmp_path, environment) as server:
        client = server.client()
        codes: list[int] = []

        def reconnecting(event: Any) -> None:
            codes.append(event.close_code)
            connection.response.create(model="m", input="after")

        with client.responses.connect(on_reconnecting=reconnecting) as connection:
            connection.response.create(model="m", input="before")
            while connection.recv().type != "response.completed":
                pass
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(15)
            with serve(tmp_path, environment, port=server.port):
                after = next(event for event in connection if event.type == "response.completed")
            assert codes[0] == 1012 and after.response.output_text == "You said: after"
