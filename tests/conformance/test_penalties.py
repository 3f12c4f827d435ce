"""Penalties of a response, which Open Responses knows and the SDK sends as extra fields; what a response always has."""

import pytest
from openai import BadRequestError, OpenAI
from servers import scripted


@pytest.mark.ledger("responses:penalties")
def test_penalties_reach_the_model_and_are_echoed() -> None:
    with scripted([]) as (client, upstream):
        penalties = {"frequency_penalty": 0.5, "presence_penalty": -1.5}
        response = client.responses.create(model="gpt-5", input="hi", extra_body=penalties)
        sent = client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]
        assert {name: sent[name] for name in penalties} == penalties
        shown = client.responses.retrieve(response.id).to_dict()
        assert {name: shown[name] for name in penalties} == penalties


@pytest.mark.ledger("responses:penalties")
@pytest.mark.parametrize("name", ["frequency_penalty", "presence_penalty"])
@pytest.mark.parametrize("value", [-2.1, 2.1])
def test_a_penalty_outside_its_range_is_refused(client: OpenAI, name: str, value: float) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="gpt-5", input="hi", extra_body={name: value})
    assert refused.value.param == name


@pytest.mark.ledger("responses:always_there")
def test_members_that_were_not_sent_are_there_all_the_same(client: OpenAI) -> None:
    plain = client.responses.create(model="gpt-5", input="hi").to_dict()
    expected = {"frequency_penalty": 0, "presence_penalty": 0, "prompt_cache_key": None, "safety_identifier": None}
    assert {name: plain[name] for name in expected} == expected
    own = client.responses.create(model="gpt-5", input="hi", extra_body={"prompt_cache_key": "k"}).to_dict()
    assert own["prompt_cache_key"] == "k" and own["safety_identifier"] is None
