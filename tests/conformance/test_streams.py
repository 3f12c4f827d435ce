"""Streams of `/v1/responses`: the order of events, the numbers, the SDK's accumulator, and what failure looks like."""

import json
from typing import Any

import pytest
from openai import OpenAI
from servers import Server

TEXT_ORDER = [
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


def frames(server: Server, body: dict[str, Any], client: OpenAI) -> list[tuple[str, Any]]:
    """Return (event, data) of every frame, as they come over the wire."""
    found: list[tuple[str, Any]] = []
    with client._client.stream("POST", f"{server.base_url}/responses", json=body | {"stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((name, line[6:] if line == "data: [DONE]" else json.loads(line[6:])))
    return found


def collapsed(names: list[str]) -> list[str]:
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


@pytest.mark.ledger("streams:order", "streams:sequence_numbers", "streams:done")
def test_a_text_stream_has_the_canonical_order_dense_numbers_and_a_terminator(server: Server, client: OpenAI) -> None:
    events = frames(server, {"model": "gpt-5", "input": "tell me a story"}, client)
    assert events[-1][1] == "[DONE]"
    events = events[:-1]
    assert collapsed([name for name, _ in events]) == TEXT_ORDER
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    assert all(data["type"] == name for name, data in events)
    deltas = [data["delta"] for name, data in events if name == "response.output_text.delta"]
    assert "".join(deltas) == "You said: tell me a story"
    item_ids = {data["item_id"] for _, data in events if "item_id" in data}
    final = events[-1][1]["response"]
    assert item_ids == {final["output"][0]["id"]}
    assert final["usage"]["total_tokens"] > 0 and events[0][1]["response"]["usage"] is None


@pytest.mark.ledger("streams:obfuscation")
def test_obfuscation_is_on_by_default_and_can_be_turned_off(server: Server, client: OpenAI) -> None:
    on = frames(server, {"model": "gpt-5", "input": "hi"}, client)
    off = frames(server, {"model": "gpt-5", "input": "hi", "stream_options": {"include_obfuscation": False}}, client)
    assert all("obfuscation" in data for name, data in on if name.endswith(".delta"))
    assert not any("obfuscation" in data for name, data in off if name.endswith(".delta"))


@pytest.mark.ledger("streams:helper", "streams:retrieve_after")
def test_the_sdks_stream_helper_accepts_the_stream_and_the_response_is_stored(client: OpenAI) -> None:
    with client.responses.stream(model="gpt-5", input="stream me") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text == "You said: stream me"
    stored = client.responses.retrieve(final.id)
    assert stored.output_text == final.output_text and stored.usage == final.usage


@pytest.mark.ledger("streams:function_arguments")
def test_function_arguments_stream_and_the_helper_collects_them(client: OpenAI) -> None:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}
    names: list[str] = []
    with client.responses.stream(model="gpt-5", input='call get_weather {"city": "Oslo"}', tools=[tool]) as stream:
        for event in stream:
            names.append(event.type)
        final = stream.get_final_response()
    assert collapsed(names) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    call = final.output[0]
    assert call.type == "function_call" and json.loads(call.arguments) == {"city": "Oslo"}


@pytest.mark.ledger("streams:store_false")
def test_a_stream_that_is_not_stored_works_the_same(server: Server, client: OpenAI) -> None:
    events = frames(server, {"model": "gpt-5", "input": "hi", "store": False}, client)
    assert events[-2][0] == "response.completed"


@pytest.mark.ledger("streams:early_error")
def test_a_request_that_fails_early_is_an_ordinary_http_error(server: Server, client: OpenAI) -> None:
    body = {"model": "gpt-5", "input": "hi", "stream": True, "previous_response_id": "resp_none"}
    answer = client._client.post(f"{server.base_url}/responses", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "previous_response_not_found"
