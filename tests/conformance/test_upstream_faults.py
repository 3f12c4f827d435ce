"""Every fault of the model's server reaches the client as the right error, and leaves the server able to go on."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server, scripted

RULES: list[Any] = [
    {
        "when": {"contains": "rate"},
        "reply": {"fault": {"kind": "status", "status": 429, "headers": {"retry-after": "7"},
                            "body": {"error": {"message": "Slow down", "type": "x", "code": "rate_limit_exceeded"}}}},
    },
    {
        "when": {"contains": "context"},
        "reply": {"fault": {"kind": "status", "status": 400, "body": {"error": {
            "message": "maximum context length is 10", "type": "invalid_request_error", "param": "messages",
            "code": "context_length_exceeded"}}}},
    },
    {"when": {"contains": "forbidden"}, "reply": {"fault": {"kind": "status", "status": 401}}},
    {"when": {"contains": "broken"}, "reply": {"fault": {"kind": "status", "status": 500}}},
    {"when": {"contains": "cut"}, "reply": {"text": ["a ", "b ", "c "], "fault": {"kind": "cut", "after": 2}}},
    {"when": {"contains": "garbage"}, "reply": {"text": ["a "], "fault": {"kind": "malformed", "after": 1}}},
    {"when": {"contains": "long"}, "reply": {"text": ["one ", "two "], "finish_reason": "length"}},
    {"when": {"contains": "filtered"}, "reply": {"text": ["one "], "finish_reason": "content_filter"}},
    {"when": {"contains": "refuse"}, "reply": {"refusal": "I will not."}},
    {"when": {"contains": "think"}, "reply": {"reasoning": "Let me see. ", "text": "Done."}},
    {"when": {"contains": "twice"}, "reply": {"tool_calls": [{"name": "f", "id": "c0"}, {"name": "f", "id": "c0"}]}},
    {"when": {"contains": "truncated"}, "reply": {"tool_calls": [{"name": "f", "arguments": '{"ci'}]}},
    {"when": {"contains": "leaky"}, "reply": {"fault": {"kind": "status", "status": 401, "body": {"error": {
        "message": "Incorrect API key provided: sk-secret123456.", "type": "invalid_request_error"}}}}},
    {"when": {"contains": "repeats it"}, "reply": {"fault": {"kind": "status", "status": 500, "body": {"error": {
        "message": "Could not use Bearer abcdef123456", "type": "server_error"}}}}},
    {"when": {"contains": "soon"},
     "reply": {"fault": {"kind": "status", "status": 429, "headers": {"retry-after": "0"}}}},
    {"when": {"contains": "slow"}, "reply": {"text": ["x "] * 200, "delay": 0.05}},
]  # fmt: skip


@pytest.fixture(scope="module")
def faulty() -> Iterator[tuple[OpenAI, Server]]:
    with scripted(RULES) as pair:
        yield pair


def count(upstream: Server) -> int:
    """Return how many requests the upstream has got."""
    with urllib.request.urlopen(f"{upstream.url}/requests", timeout=10) as answer:
        return len(json.loads(answer.read())["data"])


def stream(client: OpenAI, prompt: str) -> list[Any]:
    return list(client.responses.create(model="m", input=prompt, stream=True))


@pytest.mark.ledger("faults:rate_limit")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_429_stays_a_429_with_its_retry_after(faulty: tuple[OpenAI, Server], streamed: bool) -> None:
    with pytest.raises(openai.RateLimitError) as error:
        faulty[0].responses.create(model="m", input="rate", stream=streamed)
    assert error.value.response.headers["retry-after"] == "7"


@pytest.mark.ledger("faults:context_length")
def test_a_context_that_is_too_long_keeps_its_code(faulty: tuple[OpenAI, Server]) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        faulty[0].responses.create(model="m", input="context")
    assert error.value.code == "context_length_exceeded"


@pytest.mark.ledger("faults:upstream_credentials")
def test_the_servers_own_credentials_failing_do_not_look_like_the_clients(faulty: tuple[OpenAI, Server]) -> None:
    with pytest.raises(openai.InternalServerError):
        faulty[0].responses.create(model="m", input="forbidden")


@pytest.mark.ledger("faults:server_error")
def test_a_failing_upstream_is_a_server_error(faulty: tuple[OpenAI, Server]) -> None:
    with pytest.raises(openai.InternalServerError) as error:
        faulty[0].responses.create(model="m", input="broken")
    assert set(error.value.body) == {"message", "type", "param", "code"}  # type: ignore[arg-type]


@pytest.mark.ledger("faults:retries")
def test_what_was_tried_again_here_is_not_tried_again_by_the_client(faulty: tuple[OpenAI, Server]) -> None:
    client, upstream = faulty
    before = count(upstream)
    with pytest.raises(openai.InternalServerError) as error:
        client.with_options(max_retries=2).responses.create(model="m", input="broken")
    assert error.value.response.headers["x-should-retry"] == "false"
    assert count(upstream) - before == 3
    for prompt in ("rate", "soon"):
        with pytest.raises(openai.RateLimitError) as limited:
            client.responses.create(model="m", input=prompt)
        assert "x-should-retry" not in limited.value.response.headers


@pytest.mark.ledger("faults:upstream_credentials")
@pytest.mark.parametrize("prompt", ["leaky", "repeats it"])
def test_no_key_that_an_upstream_repeats_reaches_a_client(faulty: tuple[OpenAI, Server], prompt: str) -> None:
    with pytest.raises(openai.InternalServerError) as error:
        faulty[0].responses.create(model="m", input=prompt)
    assert "123456" not in str(error.value) and error.value.response.headers["x-should-retry"] == "false"


@pytest.mark.ledger("faults:truncated_call")
def test_a_call_whose_arguments_are_no_json_is_never_completed(faulty: tuple[OpenAI, Server]) -> None:
    client = faulty[0]
    tool: Any = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    with pytest.raises(openai.InternalServerError) as error:
        client.responses.create(model="m", input="truncated", tools=[tool])
    assert error.value.status_code == 502 and error.value.code == "upstream_malformed"
    events: Any = list(client.responses.create(model="m", input="truncated", tools=[tool], stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.error.code == "server_error"
    assert [item.status for item in events[-1].response.output] == ["incomplete"]
    messages: Any = [{"role": "user", "content": "truncated"}]
    function: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="m", messages=messages, tools=[function])


@pytest.mark.ledger("faults:cut_stream")
@pytest.mark.parametrize("prompt", ["cut", "garbage"])
def test_a_cut_stream_ends_with_response_failed_and_is_stored_as_failed(
    faulty: tuple[OpenAI, Server], prompt: str
) -> None:
    events = stream(faulty[0], prompt)
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed" and events[-1].response.error.code == "server_error"
    stored = faulty[0].responses.retrieve(events[-1].response.id)
    assert stored.status == "failed" and stored.error is not None and stored.error.code == "server_error"


@pytest.mark.ledger("faults:incomplete")
@pytest.mark.parametrize(("prompt", "reason"), [("long", "max_output_tokens"), ("filtered", "content_filter")])
def test_an_answer_that_was_cut_short_is_incomplete(faulty: tuple[OpenAI, Server], prompt: str, reason: str) -> None:
    response = faulty[0].responses.create(model="m", input=prompt)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None and response.incomplete_details.reason == reason
    assert response.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert stream(faulty[0], prompt)[-1].type == "response.incomplete"
    following = faulty[0].responses.create(model="m", input="hello", previous_response_id=response.id)
    assert following.status == "completed"


@pytest.mark.ledger("streams:refusal")
def test_a_refusal_is_a_refusal_part_and_streams_as_one(faulty: tuple[OpenAI, Server]) -> None:
    with faulty[0].responses.stream(model="m", input="refuse") as events:
        names = [event.type for event in events]
        final = events.get_final_response()
    assert "response.refusal.delta" in names and "response.refusal.done" in names
    message: Any = final.output[0]
    assert message.content[0].type == "refusal" and message.content[0].refusal == "I will not."


@pytest.mark.ledger("streams:reasoning")
def test_reasoning_comes_as_an_item_of_its_own_before_the_answer(faulty: tuple[OpenAI, Server]) -> None:
    with faulty[0].responses.stream(model="m", input="think") as events:
        names = [event.type for event in events]
        final = events.get_final_response()
    assert names.index("response.reasoning_text.delta") < names.index("response.output_text.delta")
    assert [item.type for item in final.output] == ["reasoning", "message"]
    following = faulty[0].responses.create(model="m", input="hello", previous_response_id=final.id)
    assert following.status == "completed"


@pytest.mark.ledger("faults:repeated_call_ids")
def test_call_ids_that_an_upstream_repeats_are_made_unique(faulty: tuple[OpenAI, Server]) -> None:
    tool: Any = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    first: Any = faulty[0].responses.create(model="m", input="twice", tools=[tool])
    ids = [item.call_id for item in first.output]
    assert len(set(ids)) == 2
    outputs: Any = [{"type": "function_call_output", "call_id": one, "output": "ok"} for one in ids]
    second = faulty[0].responses.create(model="m", input=outputs, tools=[tool], previous_response_id=first.id)
    assert second.status == "completed"


@pytest.mark.ledger("responses:disconnect")
def test_a_client_that_goes_away_ends_the_turn_and_the_upstream_request(faulty: tuple[OpenAI, Server]) -> None:
    client, upstream = faulty
    events = client.responses.create(model="m", input="slow", stream=True)
    first = next(iter(events))
    assert first.type == "response.created"
    events.close()

    def cancelled() -> bool:
        return client.responses.retrieve(first.response.id).status == "cancelled"

    _eventually(cancelled)
    _eventually(lambda: client._client.get(f"{upstream.url}/requests").json()["disconnects"] >= 1)
    following = client.responses.create(model="m", input="hello", previous_response_id=first.response.id)
    assert following.status == "completed"


@pytest.mark.ledger("responses:disconnect_continue")
def test_a_turn_goes_on_without_its_client_where_the_client_asked_for_it(faulty: tuple[OpenAI, Server]) -> None:
    client, _ = faulty
    events = client.responses.create(
        model="m", input="think", stream=True, extra_headers={"Onward-On-Disconnect": "continue"}
    )
    first = next(iter(events))
    assert first.type == "response.created"
    events.close()
    _eventually(lambda: client.responses.retrieve(first.response.id).status == "completed")


def _eventually(condition: Any) -> None:
    import time

    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.05)
