"""Function calling: calls handed to the client, outputs handed back, and pairs that must match."""

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
CLOCK: Any = {"type": "function", "name": "get_time", "parameters": {"type": "object"}, "strict": False}
ASK = 'call get_weather {"city": "Oslo"}'


def output(call_id: str, value: Any = "sunny") -> Any:
    return {"type": "function_call_output", "call_id": call_id, "output": value}


@pytest.mark.ledger("functions:round_trip")
def test_a_call_goes_to_the_client_and_its_output_comes_back_by_chaining(client: OpenAI, upstream: Server) -> None:
    first = client.responses.create(model="gpt-5", input=ASK, tools=[WEATHER])
    call = first.output[0]
    assert first.status == "completed" and call.type == "function_call" and call.status == "completed"
    assert call.name == "get_weather" and json.loads(call.arguments) == {"city": "Oslo"}
    second = client.responses.create(
        model="gpt-5", input=[output(call.call_id)], tools=[WEATHER], previous_response_id=first.id
    )
    assert "sunny" in second.output_text
    sent = client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == call.call_id


@pytest.mark.ledger("functions:list_output")
def test_an_output_may_be_a_list_of_content(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-5", input=ASK, tools=[WEATHER])
    call_id: str = first.output[0].call_id  # type: ignore[union-attr]
    parts = [{"type": "input_text", "text": "rain"}]
    second = client.responses.create(
        model="gpt-5", input=[output(call_id, parts)], tools=[WEATHER], previous_response_id=first.id
    )
    assert "rain" in second.output_text


@pytest.mark.ledger("functions:stateless_round_trip")
def test_a_stateless_client_sends_call_and_output_itself(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-5", input=ASK, tools=[WEATHER], store=False)
    call = first.output[0]
    history: Any = [{"role": "user", "content": ASK}, call.to_dict(), output(call.call_id)]  # type: ignore[union-attr]
    second = client.responses.create(model="gpt-5", input=history, tools=[WEATHER], store=False)
    assert "sunny" in second.output_text


@pytest.mark.ledger("functions:parallel")
def test_parallel_calls_come_together_and_can_be_limited_to_one(client: OpenAI) -> None:
    both = 'call get_weather {"city": "Oslo"}\ncall get_time {}'
    many = client.responses.create(model="gpt-5", input=both, tools=[WEATHER, CLOCK])
    assert [item.name for item in many.output if item.type == "function_call"] == ["get_weather", "get_time"]
    one = client.responses.create(model="gpt-5", input=both, tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert [item.name for item in one.output if item.type == "function_call"] == ["get_weather"]


@pytest.mark.ledger("functions:unanswered")
def test_an_unanswered_call_is_refused_with_the_contracts_text(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-5", input=ASK, tools=[WEATHER])
    call_id: str = first.output[0].call_id  # type: ignore[union-attr]
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="gpt-5", input="and now?", previous_response_id=first.id)
    assert error.value.body["message"] == f"No tool output found for function call {call_id}."  # type: ignore[index]
    assert error.value.param == "input" and error.value.code is None


@pytest.mark.ledger("functions:orphaned_output")
def test_an_output_without_a_call_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="No tool call found for function call output with call_id call_x"):
        client.responses.create(model="gpt-5", input=[output("call_x")])


@pytest.mark.ledger("functions:answered_twice")
def test_an_output_that_was_given_already_is_refused(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-5", input=ASK, tools=[WEATHER])
    call_id: str = first.output[0].call_id  # type: ignore[union-attr]
    second = client.responses.create(
        model="gpt-5", input=[output(call_id)], tools=[WEATHER], previous_response_id=first.id
    )
    with pytest.raises(openai.BadRequestError, match="No tool call found"):
        client.responses.create(model="gpt-5", input=[output(call_id)], previous_response_id=second.id)


@pytest.mark.ledger("functions:tool_choice")
@pytest.mark.parametrize(
    ("choice", "offered", "sent"),
    [
        ("auto", {"get_weather", "get_time"}, None),
        ("none", None, "none"),
        ("required", {"get_weather", "get_time"}, "required"),
        ({"type": "function", "name": "get_time"}, {"get_time"}, {"function": {"name": "get_time"}}),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_time"}]},
         {"get_time"}, None),
    ],
)  # fmt: skip
def test_every_form_of_tool_choice_reaches_the_model(
    client: OpenAI, upstream: Server, choice: Any, offered: set[str] | None, sent: Any
) -> None:
    client.responses.create(model="gpt-5", input="hello", tools=[WEATHER, CLOCK], tool_choice=choice)
    body = client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]
    names = {tool["function"]["name"] for tool in body.get("tools", [])}
    if offered is not None:
        assert names == offered
    if isinstance(sent, dict):
        assert body["tool_choice"]["function"] == sent["function"]
    elif sent == "none":
        assert body.get("tool_choice") == "none" or not names
    elif sent is not None:
        assert body["tool_choice"] == sent


@pytest.mark.ledger("functions:unknown_choice")
def test_a_choice_of_a_tool_that_is_not_offered_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(
            model="gpt-5", input="x", tools=[WEATHER], tool_choice={"type": "function", "name": "nope"}
        )
    assert error.value.param == "tool_choice"
