"""file_search inside a response, over HTTP: the call, its results on request, citations, streaming, refusals."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server

POLICY = (
    "# Refund policy\n\nPartial refunds are given within thirty days for goods that were opened but not used.\n\n"
    "## Digital goods\n\nDigital goods are refunded only before they are downloaded.\n"
)
HOURS = "# Opening hours\n\nThe shop is open from nine to six on weekdays and closed on Sundays.\n"
ASK = 'call file_search {"queries": ["refund of digital goods"]}'


def stocked(client: OpenAI) -> tuple[str, dict[str, str]]:
    """Return a store and the names of its files by id."""
    names = {
        client.files.create(file=(name, text.encode()), purpose="assistants").id: name
        for name, text in (("policy.md", POLICY), ("hours.md", HOURS))
    }
    store = client.vector_stores.create()
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=list(names))
    assert batch.file_counts.completed == 2
    return store.id, names


def tool(store: str, **options: Any) -> Any:
    return {"type": "file_search", "vector_store_ids": [store], **options}


@pytest.fixture
def strict(server: Server) -> Iterator[OpenAI]:
    """The SDK with every body checked against its types."""
    options: Any = {"base_url": server.base_url, "api_key": "none", "max_retries": 0}
    with OpenAI(**options, _strict_response_validation=True) as client:
        yield client


@pytest.mark.ledger("file_search:citations")
def test_a_search_is_an_item_and_its_answer_cites_the_passage(strict: OpenAI) -> None:
    store, names = stocked(strict)
    response = strict.responses.create(model="gpt-5", input=ASK, tools=[tool(store)])
    call, message = response.output
    assert response.status == "completed"
    assert call.type == "file_search_call" and call.status == "completed" and call.id.startswith("fs_")
    assert call.queries == ["refund of digital goods"] and call.results is None
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text" and "Digital goods are refunded" in part.text
    cited = [annotation for annotation in part.annotations if annotation.type == "file_citation"]
    assert cited and all(names[one.file_id] == one.filename for one in cited)
    assert all(0 < one.index <= len(part.text) for one in cited)
    assert "policy.md" in {one.filename for one in cited}


@pytest.mark.ledger("file_search:results")
def test_results_come_with_include_and_only_then(strict: OpenAI) -> None:
    store, names = stocked(strict)
    response = strict.responses.create(
        model="gpt-5", input=ASK, tools=[tool(store)], include=["file_search_call.results"]
    )
    call = response.output[0]
    assert call.type == "file_search_call" and call.results
    best = call.results[0]
    assert best.file_id is not None and names[best.file_id] == best.filename == "policy.md"
    assert best.text is not None and "Digital goods" in best.text and best.score is not None and 0 < best.score <= 1
    plain = strict.responses.retrieve(response.id).output[0]
    assert plain.type == "file_search_call" and plain.results is None
    again = strict.responses.retrieve(response.id, include=["file_search_call.results"]).output[0]
    assert again.type == "file_search_call" and again.results == call.results


@pytest.mark.ledger("file_search:stream")
def test_a_stream_tells_of_the_search_and_of_each_citation(strict: OpenAI) -> None:
    store, _ = stocked(strict)
    with strict.responses.stream(model="gpt-5", input=ASK, tools=[tool(store)]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    searched = [kind for kind in kinds if kind.startswith("response.file_search_call.")]
    assert searched == [
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
    ]
    assert kinds.count("response.output_text.annotation.added") > 0
    message = final.output[-1]
    assert message.type == "message" and message.content[0].type == "output_text"
    assert len(message.content[0].annotations) == kinds.count("response.output_text.annotation.added")


@pytest.mark.ledger("file_search:filters")
def test_filters_and_limits_hold_inside_a_response(strict: OpenAI) -> None:
    store, names = stocked(strict)
    for file_id, name in names.items():
        strict.vector_stores.files.update(file_id, vector_store_id=store, attributes={"name": name})
    only = tool(store, filters={"type": "eq", "key": "name", "value": "hours.md"}, max_num_results=1)
    response = strict.responses.create(model="gpt-5", input=ASK, tools=[only], include=["file_search_call.results"])
    call = response.output[0]
    assert call.type == "file_search_call" and call.results is not None
    assert [result.filename for result in call.results] == ["hours.md"]
    assert call.results[0].attributes == {"name": "hours.md"}


@pytest.mark.ledger("file_search:refused")
def test_what_cannot_be_searched_is_refused_before_the_turn(client: OpenAI) -> None:
    store, _ = stocked(client)
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="gpt-5", input="x", tools=[tool("vs_nope")])
    assert "Vector store with id 'vs_nope' not found." in missing.value.message
    refused: list[Any] = [
        tool(store, max_num_results=51),
        tool(store, filters={"type": "odd"}),
        {"type": "file_search", "vector_store_ids": []},
        {"type": "file_search"},
    ]
    for wrong in refused:
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="gpt-5", input="x", tools=[wrong])


@pytest.mark.ledger("file_search:extractive_files")
def test_without_a_language_model_files_that_come_with_a_question_answer_it(serve_here: Callable[..., Server]) -> None:
    text = b"# Policy\n\nRefunds are given within thirty days of purchase.\n\nThe office opens at nine in the morning."
    with serve_here(ONWARD_MODEL="extractive").client() as client:
        stored = client.files.create(file=("policy.md", text), purpose="user_data")
        inline = {"filename": "policy.md", "file_data": base64.b64encode(text).decode()}
        for file in ({"file_id": stored.id}, inline):
            asked: Any = [
                {"role": "user", "content": [
                    {"type": "input_file", **file}, {"type": "input_text", "text": "When does the office open?"}]}
            ]  # fmt: skip
            answer = client.responses.create(model="gpt-5", input=asked)
            assert answer.output_text == "The office opens at nine in the morning."
            assert list(client.responses.create(model="gpt-5", input=asked, stream=True))[-1].type.endswith("completed")
        unread: Any = [{"role": "user", "content": "When does the office open?"}]
        assert "No language model" in client.responses.create(model="gpt-5", input=unread).output_text


@pytest.mark.ledger("file_search:extractive")
def test_without_a_language_model_the_best_sentences_answer(serve_here: Callable[..., Server]) -> None:
    server = serve_here(ONWARD_MODEL="extractive")
    with server.client() as client:
        store, _ = stocked(client)
        first = client.responses.create(
            model="gpt-5", input="What does our refund policy say about partial refunds?", tools=[tool(store)]
        )
        assert "Partial refunds are given within thirty days" in first.output_text
        second = client.responses.create(
            model="gpt-5",
            input="And for digital goods specifically?",
            tools=[tool(store)],
            previous_response_id=first.id,
        )
        assert "Digital goods are refunded only before they are downloaded" in second.output_text
        message = second.output[-1]
        assert message.type == "message" and message.content[0].type == "output_text"
        citation = message.content[0].annotations[0]
        assert citation.type == "file_citation" and citation.filename == "policy.md"
        nothing = client.responses.create(model="gpt-5", input="How do volcanoes form?", tools=[tool(store)])
        assert nothing.status == "completed" and "refund" not in nothing.output_text
