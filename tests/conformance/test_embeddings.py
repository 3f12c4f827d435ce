"""`/v1/embeddings` and `/v1/models` as the real SDK sees them."""

import math
from collections.abc import Callable

import openai
import pytest
from openai import OpenAI
from servers import Server


@pytest.fixture
def client(server: Server) -> OpenAI:
    """The SDK without strict types: it asks for base64 where none is wanted, which its own type does not allow."""
    return server.client(strict=False)


@pytest.mark.ledger("embeddings:vectors")
def test_vectors_are_unit_length_and_tell_meanings_apart(client: OpenAI) -> None:
    answer = client.embeddings.create(
        model="text-embedding-3-small", input=["a cat sleeps", "a kitten naps", "tax law"]
    )
    cat, kitten, law = (one.embedding for one in answer.data)
    assert [one.index for one in answer.data] == [0, 1, 2] and answer.usage.total_tokens > 0
    assert math.isclose(math.hypot(*cat), 1.0, rel_tol=1e-3)
    assert sum(a * b for a, b in zip(cat, kitten, strict=True)) > sum(a * b for a, b in zip(cat, law, strict=True))


@pytest.mark.ledger("embeddings:formats")
def test_floats_equal_base64_and_fewer_dimensions_are_a_prefix(client: OpenAI) -> None:
    encoded = client.embeddings.create(model="m", input="hello").data[0].embedding
    plain = client.embeddings.create(model="m", input="hello", encoding_format="float").data[0].embedding
    assert encoded == pytest.approx(plain)
    short = client.embeddings.create(model="m", input="hello", dimensions=64).data[0].embedding
    assert len(short) == 64 and math.isclose(math.hypot(*short), 1.0, rel_tol=1e-3)


@pytest.mark.ledger("embeddings:tokens")
def test_tokens_are_text(client: OpenAI) -> None:
    tokens = client.embeddings.create(model="m", input=[[15339, 1917]]).data[0].embedding
    assert tokens == pytest.approx(client.embeddings.create(model="m", input="hello world").data[0].embedding)


@pytest.mark.ledger("embeddings:limits")
@pytest.mark.parametrize(
    "fields",
    [
        {"input": ""},
        {"input": []},
        {"input": [""]},
        {"input": [[-1]]},
        {"input": ["x"] * 2049},
        {"input": "x", "dimensions": 0},
        {"input": "x", "dimensions": 100_000},
        {"input": "x", "encoding_format": "hex"},
        {"input": {"a": 1}},
    ],
)
def test_what_cannot_be_embedded_is_refused(client: OpenAI, fields: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="m", **fields)  # type: ignore[arg-type]
    assert refused.value.param is not None and refused.value.param.split("[")[0] in fields


@pytest.mark.ledger("embeddings:token_limit")
def test_usage_counts_tokens_and_an_input_of_too_many_is_refused_in_openais_words(client: OpenAI) -> None:
    assert client.embeddings.create(model="m", input="hello world").usage.prompt_tokens == 2
    both = client.embeddings.create(model="m", input=[[15339, 1917], [15339]])
    assert both.usage.prompt_tokens == both.usage.total_tokens == 3
    longest = client.embeddings.create(model="m", input=" a" * 8192)
    assert longest.usage.prompt_tokens == 8192
    for given in (" a" * 8193, ["short", " a" * 8193], [[264] * 8193], [264] * 8193):
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model="m", input=given)  # type: ignore[arg-type]
        assert (
            "This model's maximum context length is 8192 tokens, however you requested 8193 tokens (8193 in your "
            "prompt; 0 for the completion). Please reduce your prompt; or completion length."
        ) in refused.value.message
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="m", input=[" a" * 8000] * 38)
    assert refused.value.code == "max_tokens_per_request" and refused.value.param == "input"


@pytest.mark.ledger("embeddings:models")
def test_models_are_listed_and_unknown_ones_named(client: OpenAI, serve_here: Callable[..., Server]) -> None:
    listed = client.models.list().data
    assert listed
    model = client.models.retrieve(listed[0].id)
    assert model == listed[0] and model.object == "model" and model.created > 0 and model.owned_by
    with pytest.raises(openai.NotFoundError) as missing:
        serve_here(ONWARD_MODEL="scripted").client().models.retrieve("no/such-model")
    assert missing.value.code == "model_not_found"
    assert "The model 'no/such-model' does not exist" in missing.value.message


@pytest.mark.ledger("embeddings:served_models")
def test_every_name_that_would_be_served_is_there_with_what_serves_it(
    client: OpenAI, serve_here: Callable[..., Server]
) -> None:
    configured = serve_here(ONWARD_MODEL="scripted", ONWARD_ALIASES="house=scripted,lost=nobody").client()
    listed = {model.id: model.to_dict()["served_by"] for model in configured.models.list()}
    assert listed["house"] == listed["scripted"] == "scripted" and "gpt-5" not in listed
    assert listed["lost"] is None
    for name in ("gpt-5", "gpt-4o-mini", "house", "scripted"):
        model = configured.models.retrieve(name)
        assert model.id == name and model.to_dict()["served_by"] == "scripted"
        assert configured.responses.create(model=name, input="hi").status == "completed"
    with pytest.raises(openai.APIStatusError) as refused:
        configured.responses.create(model="nobodys-model", input="hi")
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        configured.models.retrieve("nobodys-model")
    assert client.models.retrieve("org/passed-on").to_dict()["served_by"] == "org/passed-on"
