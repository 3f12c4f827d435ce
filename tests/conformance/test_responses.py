"""`/v1/responses` without streams: create, retrieve, delete, list input, chain, fork, and what is echoed."""

from collections.abc import Callable
from typing import Any, cast

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from servers import Server


@pytest.fixture
def strict(server: Server) -> OpenAI:
    """The SDK with every body checked against its types."""
    return server.client(strict=True)


def ask(client: OpenAI, prompt: str, **more: Any) -> Response:
    create = cast("Callable[..., Response]", client.responses.create)
    return create(model="gpt-5", input=prompt, **more)


def inputs(client: OpenAI, response: Response) -> list[str]:
    """Return the texts of what a response was given, oldest first."""
    items = client.responses.input_items.list(response.id, order="asc")
    return ["".join(part.text for part in item.content if hasattr(part, "text")) for item in items]  # type: ignore[union-attr]


@pytest.mark.ledger("responses:create")
def test_a_response_has_every_field_and_parses_strictly(strict: OpenAI) -> None:
    response = ask(strict, "Say hello", metadata={"a": "b"}, temperature=0.5, max_output_tokens=100, user="u1")
    assert response.id.startswith("resp_") and response.object == "response" and response.status == "completed"
    assert response.output_text == "You said: Say hello"
    assert response.model == "gpt-5" and response.metadata == {"a": "b"}
    assert response.temperature == 0.5 and response.top_p == 1.0 and response.max_output_tokens == 100
    assert response.tools == [] and response.tool_choice == "auto" and response.parallel_tool_calls is True
    assert response.error is None and response.incomplete_details is None and response.instructions is None
    assert response.truncation == "disabled" and response.user == "u1"
    assert response.text is not None and response.text.format is not None and response.text.format.type == "text"
    assert response.usage is not None and response.usage.total_tokens > 0
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    message = response.output[0]
    assert message.type == "message" and message.id.startswith("msg_") and message.status == "completed"


@pytest.mark.ledger("responses:retrieve")
def test_retrieve_returns_what_create_returned(client: OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="gpt-5", input="Remember me", instructions="Be brief")
    created = raw.http_response.json()
    got = client.responses.with_raw_response.retrieve(created["id"]).http_response.json()
    assert got == created
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["openai-processing-ms"].isdigit()


@pytest.mark.ledger("responses:delete")
def test_delete_removes_the_handle_and_descendants_keep_their_context(client: OpenAI) -> None:
    first = ask(client, "one")
    second = ask(client, "two", previous_response_id=first.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match=f"Response with id '{first.id}' not found."):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, "no", previous_response_id=first.id)
    assert error.value.code == "previous_response_not_found"
    third = ask(client, "three", previous_response_id=second.id)
    assert inputs(client, third) == ["one", "You said: one", "two", "You said: two", "three"]


@pytest.mark.ledger("responses:delete_body")
def test_delete_answers_with_the_deleted_object(server: Server, client: OpenAI) -> None:
    created = ask(client, "bye")
    answer = client._client.request("DELETE", f"{server.base_url}/responses/{created.id}")
    assert answer.json() == {"id": created.id, "object": "response", "deleted": True}


@pytest.mark.ledger("responses:unknown_id")
def test_an_unknown_response_is_a_404_with_the_contracts_text(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.responses.retrieve("resp_unknown")
    assert error.value.message.endswith("Response with id 'resp_unknown' not found.") or "not found" in str(error.value)
    assert error.value.body == {
        "message": "Response with id 'resp_unknown' not found.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


@pytest.mark.ledger("responses:chain", "responses:instructions_not_inherited")
def test_a_chain_brings_the_history_but_not_the_instructions(client: OpenAI, upstream: Server) -> None:
    first = ask(client, "alpha", instructions="Answer in verse")
    second = ask(client, "beta", previous_response_id=first.id)
    assert second.previous_response_id == first.id and second.instructions is None
    sent = client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]["messages"]
    assert sent == [
        {"role": "user", "content": "alpha"},
        {"role": "assistant", "content": "You said: alpha"},
        {"role": "user", "content": "beta"},
    ]


@pytest.mark.ledger("responses:fork")
def test_branches_from_one_response_do_not_see_each_other(client: OpenAI) -> None:
    root = ask(client, "root")
    left = ask(client, "left", previous_response_id=root.id)
    right = ask(client, "right", previous_response_id=root.id)
    deeper = ask(client, "deeper", previous_response_id=left.id)
    assert inputs(client, right) == ["root", "You said: root", "right"]
    assert inputs(client, deeper) == ["root", "You said: root", "left", "You said: left", "deeper"]


@pytest.mark.ledger("responses:store_false")
def test_a_response_that_is_not_stored_leaves_nothing(client: OpenAI) -> None:
    parent = ask(client, "stored")
    response = ask(client, "secret", store=False, previous_response_id=parent.id)
    assert response.output_text == "You said: secret"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, "next", previous_response_id=response.id)
    assert error.value.code == "previous_response_not_found" and error.value.param == "previous_response_id"
    assert error.value.body["message"] == f"Previous response with id '{response.id}' not found."  # type: ignore[index]


@pytest.mark.ledger("responses:exclusive_parents")
def test_a_conversation_and_a_previous_response_exclude_each_other(client: OpenAI) -> None:
    conversation = client.conversations.create()
    first = ask(client, "x")
    with pytest.raises(openai.BadRequestError, match="Mutually exclusive parameters"):
        ask(client, "y", previous_response_id=first.id, conversation=conversation.id)


@pytest.mark.ledger("responses:input_items")
def test_input_items_page_in_both_orders_with_cursors(client: OpenAI) -> None:
    items: Any = [{"role": "user", "content": f"m{number}"} for number in range(7)]
    response = client.responses.create(model="gpt-5", input=items)
    page = client.responses.input_items.list(response.id, limit=3)
    texts = [item.content[0].text for item in page]  # type: ignore[union-attr]
    assert texts == [f"m{number}" for number in reversed(range(7))]
    first = client.responses.input_items.list(response.id, limit=3, order="asc").data
    rest = client.responses.input_items.list(response.id, limit=3, order="asc", after=first[-1].id)
    assert [item.content[0].text for item in rest.data] == ["m3", "m4", "m5"]  # type: ignore[union-attr]
    assert rest.has_more is True
    assert all(item.id for item in first)


@pytest.mark.ledger("responses:resent_history")
def test_a_client_that_sends_the_whole_history_again_is_understood(client: OpenAI, upstream: Server) -> None:
    history: list[Any] = [{"role": "user", "content": "turn 0"}]
    response = client.responses.create(model="gpt-5", input=history)
    for turn in range(1, 4):
        history += [item.model_dump(exclude_none=True) for item in response.output]
        history.append({"role": "user", "content": f"turn {turn}"})
        response = client.responses.create(model="gpt-5", input=history)
    sent = client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]["messages"]
    assert [message["content"] for message in sent] == [
        text for turn in range(4) for text in (f"turn {turn}", f"You said: turn {turn}")
    ][:-1]
    assert len(inputs(client, response)) == 7


@pytest.mark.ledger("responses:json_schema")
def test_structured_output_follows_the_schema_and_is_echoed(client: OpenAI) -> None:
    schema: Any = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    text: Any = {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    response = ask(client, "A person", text=text)
    import json

    assert set(json.loads(response.output_text)) == {"name", "age"}
    assert response.text is not None and response.text.format is not None
    assert response.text.format.type == "json_schema" and response.text.format.schema_ == schema


@pytest.mark.ledger("responses:parse_helper")
def test_the_parse_helper_gives_an_object(client: OpenAI) -> None:
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str

    response = client.responses.parse(model="gpt-5", input="A person", text_format=Person)
    assert isinstance(response.output_parsed, Person)


@pytest.mark.ledger("responses:unknown_fields")
def test_fields_that_this_server_does_not_know_are_ignored(client: OpenAI) -> None:
    response = ask(client, "hi", extra_body={"brand_new_field": {"x": 1}}, extra_query={"beta": "true"})
    assert response.status == "completed"


@pytest.mark.ledger("responses:ranges")
@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("temperature", 2.5, "decimal_above_max_value"),
        ("top_p", -0.1, "decimal_below_min_value"),
        ("max_output_tokens", 3, "integer_below_min_value"),
        ("top_logprobs", 21, "integer_above_max_value"),
        ("temperature", "hot", "invalid_type"),
        ("truncation", "sometimes", "invalid_value"),
        ("metadata", {str(number): "x" for number in range(17)}, "object_above_max_properties"),
        ("metadata", {"k": 5}, "invalid_type"),
        ("metadata", {"k" * 65: "v"}, "string_above_max_length"),
        ("include", ["nonsense"], "invalid_value"),
        ("tool_choice", "maybe", "invalid_value"),
        ("tools", {"type": "function"}, "invalid_type"),
        ("tools", [{"type": "function"}], "missing_required_parameter"),
        ("input", [{"type": "message", "role": "wizard", "content": "x"}], "invalid_value"),
        ("input", [{"role": "user"}], "missing_required_parameter"),
        ("input", [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "invalid_value"),
        ("input", [{"type": "function_call", "id": "call_1", "call_id": "c", "name": "f", "arguments": "{}"}],
         "invalid_value"),
        ("input", 7, "invalid_type"),
        ("input", None, "missing_required_parameter"),
        ("input", [{"role": "user", "content": [{"type": "input_audio", "data": "x"}]}], "invalid_value"),
        ("service_tier", "bogus", "invalid_value"),
    ],
)  # fmt: skip
def test_a_value_outside_the_contract_is_a_400_that_names_the_field(
    client: OpenAI, field: str, value: object, code: str
) -> None:
    body: dict[str, object] = {"model": "gpt-5", "input": "hi"} | {field: value}
    with pytest.raises(openai.BadRequestError) as error:
        client.post("/responses", cast_to=object, body=body)
    assert error.value.code == code
    assert error.value.param is not None and error.value.param.split("[")[0].split(".")[0] == field
    assert error.value.type == "invalid_request_error"


@pytest.mark.ledger("responses:not_there_yet")
@pytest.mark.parametrize("path", ["/audio/speech", "/uploads", "/threads", "/responses/compact"])
def test_an_endpoint_that_is_not_there_yet_says_so(client: OpenAI, path: str) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.post(path, cast_to=object, body={})
    assert error.value.code == "unsupported_endpoint" and "not supported by this version" in str(error.value)


@pytest.mark.ledger("responses:cancel_synchronous")
def test_a_synchronous_response_cannot_be_cancelled(client: OpenAI) -> None:
    response = ask(client, "hi")
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(response.id)
