"""`token_budget`: what input and output of all model calls of a response may add up to. An extension."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server, serve, upstream_of

SEARCH = {"name": "file_search", "arguments": {"queries": ["x"]}}
RULES = [
    {"when": {"contains": "search"}, "reply": {"tool_calls": [SEARCH], "usage": {"prompt_tokens": 450}}},
    {"when": {"contains": "long"}, "reply": {"text": ["cut ", "short"], "finish_reason": "length"}},
]


@pytest.fixture(scope="module")
def here() -> Iterator[tuple[OpenAI, Server]]:
    """A server and its upstream; the SDK's types do not know the reason that is ours."""
    with upstream_of(RULES) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(upstream.data / "data", environment) as server:
            yield server.client(strict=False), upstream


def ask(client: OpenAI, text: str, budget: Any, **more: Any) -> Any:
    responses: Any = client.responses
    return responses.create(model="m", input=text, extra_body={"token_budget": budget}, **more)


def sent(pair: tuple[OpenAI, Server]) -> Any:
    return pair[0]._client.get(f"{pair[1].url}/requests").json()["data"]


@pytest.mark.skipif(
    not hasattr(OpenAI(api_key="x").responses, "input_tokens"), reason="the SDK counts input tokens from its line 2 on"
)
@pytest.mark.ledger("responses:token_budget")
def test_the_budget_bounds_what_the_model_may_write(here: tuple[OpenAI, Server]) -> None:
    client, _ = here
    asked = client.responses.input_tokens.count(model="m", input="hello").input_tokens
    response = ask(client, "hello", asked + 100)
    assert response.status == "completed" and response.token_budget == asked + 100
    assert _limit_of(sent(here)[-1]["body"]) == 100
    again: Any = client.responses.retrieve(response.id)
    assert again.token_budget == asked + 100
    ask(client, "hello", asked + 100, max_output_tokens=40)
    assert _limit_of(sent(here)[-1]["body"]) == 40


def _limit_of(body: Any) -> int:
    return int(body.get("max_completion_tokens") or body["max_tokens"])


@pytest.mark.ledger("responses:token_budget_ends")
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_the_budget_cuts_is_incomplete(here: tuple[OpenAI, Server], stream: bool) -> None:
    client, _ = here
    response = ask(client, "long", 200, stream=stream)
    if stream:
        response = list(response)[-1].response
    assert response.status == "incomplete" and response.incomplete_details.reason == "token_budget"
    assert response.output_text == "cut short"
    own = ask(client, "long", 2000, max_output_tokens=50)
    assert own.incomplete_details.reason == "max_output_tokens"


@pytest.mark.ledger("responses:token_budget_ends")
def test_no_model_call_is_made_that_cannot_fit(here: tuple[OpenAI, Server]) -> None:
    client, _ = here
    store = client.vector_stores.create()
    tools: Any = [{"type": "file_search", "vector_store_ids": [store.id]}]
    before = len(sent(here))
    response = ask(client, "search", 1000, tools=tools)
    assert response.status == "incomplete" and response.incomplete_details.reason == "token_budget"
    assert len(sent(here)) == before + 2
    assert [item.type for item in response.output] == ["file_search_call"] * 2
    assert 900 <= response.usage.total_tokens <= 1000
    following = client.responses.create(model="m", input="hi", previous_response_id=response.id)
    assert following.status == "completed"


@pytest.mark.ledger("responses:token_budget_refusals")
def test_an_input_that_leaves_no_room_is_refused_before_anything_is_asked(here: tuple[OpenAI, Server]) -> None:
    client, _ = here
    before = len(sent(here))
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="leaves no room for an answer") as error:
            ask(client, "many words " * 100, 200, stream=stream)
        assert error.value.code == "token_budget_exceeded" and error.value.param == "token_budget"
    for wrong in (0, "many", 2.5):
        with pytest.raises(openai.BadRequestError) as error:
            ask(client, "hi", wrong)
        assert error.value.param == "token_budget"
    assert len(sent(here)) == before
