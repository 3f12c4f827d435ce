"""`POST /v1/responses/input_tokens`: the count of what a create call would send, without one."""

from typing import Any

import openai
import pytest
from openai import OpenAI

pytestmark = pytest.mark.skipif(
    not hasattr(OpenAI(api_key="x").responses, "input_tokens"), reason="the SDK counts input tokens from its line 2 on"
)

FUNCTION: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city, now and for the days to come.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def count(client: OpenAI, **body: Any) -> int:
    arguments: Any = {"model": "gpt-5", "input": "hi"} | body
    counted = client.responses.input_tokens.count(**arguments)
    assert counted.object == "response.input_tokens"
    return counted.input_tokens


@pytest.mark.ledger("responses:input_tokens")
def test_everything_that_a_create_call_would_send_is_counted(client: OpenAI) -> None:
    bare = count(client)
    assert bare > 0
    assert count(client, input="hi " * 100) >= bare + 70
    assert count(client, instructions="Answer in one word. " * 10) >= bare + 40
    assert count(client, tools=[FUNCTION]) >= bare + 20
    schema: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert count(client, text={"format": {"type": "json_schema", "name": "x", "schema": schema}}) > bare
    assert count(client, input=[{"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}]) == 2 * bare


@pytest.mark.ledger("responses:input_tokens")
def test_the_history_counts_and_equals_what_a_create_call_then_sends(client: OpenAI) -> None:
    alone = count(client, input="more")
    first = client.responses.create(model="gpt-5", input="tell me " * 50)
    chained = count(client, input="more", previous_response_id=first.id)
    assert chained >= alone + 180
    conversation = client.conversations.create(items=[{"role": "user", "content": "tell me " * 50}])
    on_it = count(client, input="more", conversation=conversation.id)
    assert alone + 90 <= on_it < chained
    assert [item.type for item in client.conversations.items.list(conversation.id)] == ["message"]
    assert count(client, input="more", conversation={"id": conversation.id}) == on_it


@pytest.mark.ledger("responses:input_tokens_refusals")
@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"previous_response_id": "resp_no"}, "previous_response_not_found", "previous_response_id"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "invalid_value", "tool_choice"),
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "invalid_value", "input[0].role"),
        ({"truncation": "never"}, "invalid_value", "truncation"),
        ({"previous_response_id": "resp_a", "conversation": "conv_a"}, "mutually_exclusive_parameters", None),
    ],
)
def test_what_a_create_call_refuses_is_refused(client: OpenAI, body: Any, code: str, param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as counted:
        count(client, **body)
    arguments: Any = {"model": "gpt-5", "input": "hi"} | body
    with pytest.raises(openai.BadRequestError) as created:
        client.responses.create(**arguments)
    assert (counted.value.code, counted.value.param) == (code, param)
    assert counted.value.body == created.value.body


@pytest.mark.ledger("responses:input_tokens_refusals")
def test_an_unknown_conversation_and_an_unanswered_call_are_refused(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Conversation with id 'conv_no' not found"):
        count(client, conversation="conv_no")
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_1"):
        count(client, input=[call])
