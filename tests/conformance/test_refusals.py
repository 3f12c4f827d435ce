"""Refusals in OpenAI's words: what is wrong, where, and what is allowed; over plain HTTP, as no SDK would send it."""

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from plain_http import Answer, Plain
from servers import Server

RANKERS = "'auto', 'default-2024-08-21', 'default-2024-11-15', 'default_2024_08_21', and 'none'"


@pytest.fixture
def raw(server: Server) -> Plain:
    return Plain(server.port)


def refused(answer: Answer, param: str | None, message: str, *, status: int = 400) -> dict[str, Any]:
    """Check a refusal and return its error."""
    assert answer.status == status, answer.body
    error = answer.error()
    assert error["param"] == param and message in error["message"] and error["type"] == "invalid_request_error"
    return error


@pytest.mark.ledger("responses:ranges")
@pytest.mark.parametrize("limit", [101, 10**9, 10**30, 10**90])
@pytest.mark.parametrize("path", ["/conversations/{}/items", "/vector_stores"])
def test_a_limit_is_refused_in_the_same_words_however_large_it_is(
    client: OpenAI, raw: Plain, path: str, limit: int
) -> None:
    place = path.format(client.conversations.create().id)
    words = f"Invalid 'limit': integer above maximum value. Expected a value <= 100, but got {limit} instead."
    assert refused(raw.get(place, {"limit": limit}), "limit", words)["code"] == "integer_above_max_value"
    below = f"Invalid 'limit': integer below minimum value. Expected a value >= 1, but got {-limit} instead."
    assert refused(raw.get(place, {"limit": -limit}), "limit", below)["code"] == "integer_below_min_value"
    assert raw.get(place, {"limit": "0" * 30 + "5"}).status == 200
    huge = raw.get(place, {"limit": "9" * 5000})
    assert refused(huge, "limit", "Expected a value <= 100, but got an integer of more than 100 digits instead.")


@pytest.mark.ledger("input:long_string")
def test_a_string_that_is_too_long_is_named_where_it_was_sent(raw: Plain) -> None:
    text = "x" * (10 * 1024 * 1024 + 1)
    words = "string too long. Expected a string with maximum length 10485760, but got a string with length 10485761"
    for body, param in (
        ({"input": text}, "input"),
        ({"input": [{"role": "user", "content": text}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]}, "input[0].content[0].text"),
    ):
        error = refused(raw.post("/responses", {"model": "gpt-5", **body}), param, f"Invalid '{param}': {words}")
        assert error["code"] == "string_above_max_length"


@pytest.mark.ledger("hostile:surrogates")
def test_a_lone_surrogate_is_named_with_its_place(raw: Plain) -> None:
    def send(body: bytes) -> Answer:
        return raw.request("POST", "/responses", body, {"content-type": "application/json"})

    words = "'{}' has the lone surrogate '\\u{}' at character {}."
    for body, param, surrogate, position in (
        (rb'{"model":"m","input":"ab\ud800"}', "input", "d800", 2),
        (rb'{"model":"m","input":[{"role":"user","content":"\udc00 and more"}]}', "input[0].content", "dc00", 0),
        (rb'{"model":"m","input":"x","metadata":{"k":"\ud83d\u0041"}}', "metadata.k", "d83d", 0),
        (rb'{"model":"m","input":"\ud83e\udd2f fine","user":"x\udd2f"}', "user", "dd2f", 1),
        (rb'{"model":"m","input":"x","unknown":[1,{"a b":"\ud800"}]}', 'unknown[1]."a b"', "d800", 0),
    ):
        error = refused(send(body), param, words.format(param, surrogate, position))
        assert error["code"] == "invalid_unicode" and "truncated" not in error["message"]
    assert refused(send(rb'{"model":"m","input":"x","metadata":{"\ud800":"v"}}'), "metadata", "'metadata' has the lone")
    assert refused(send(b'{"input":"\xed\xa0\x80"}'), None, "is not UTF-8: byte 0xed at position 10.")
    assert send(rb'{"model":"m","input":"\ud83e\udd2f \\ud800"}').status == 200


ENUMERATIONS: list[tuple[str, dict[str, Any], str, str]] = [
    ("/responses", {"truncation": "sometimes"}, "truncation", "'auto' and 'disabled'"),
    (
        "/responses",
        {"service_tier": "x"},
        "service_tier",
        "'auto', 'default', 'flex', 'scale', 'priority', 'fast', and",
    ),
    ("/responses", {"reasoning": {"effort": "x"}}, "reasoning.effort", "'none', 'minimal', 'low', 'medium', 'high', "),
    ("/responses", {"reasoning": {"summary": "x"}}, "reasoning.summary", "'auto', 'concise', and 'detailed'"),
    ("/responses", {"text": {"verbosity": "x"}}, "text.verbosity", "'low', 'medium', and 'high'"),
    ("/responses", {"text": {"format": {"type": "x"}}}, "text.format.type", "'text', 'json_object', and 'json_schema'"),
    ("/responses", {"include": ["x"]}, "include[0]", "'file_search_call.results', "),
    ("/responses", {"tool_choice": "x"}, "tool_choice", "'none', 'auto', and 'required'"),
    ("/responses", {"input": [{"role": "x", "content": "y"}]}, "input[0].role", "'assistant', 'system', 'developer', "),
    (
        "/responses",
        {"tools": [{"type": "file_search", "vector_store_ids": ["v"], "ranking_options": {"ranker": "x"}}]},
        "tools[0].ranking_options.ranker",
        "'auto' and 'default-2024-11-15'",
    ),
    ("/vector_stores", {"chunking_strategy": {"type": "x"}}, "chunking_strategy.type", "'auto' and 'static'"),
    ("/vector_stores", {"expires_after": {"anchor": "x", "days": 1}}, "expires_after.anchor", "'last_active_at'"),
    (
        "/vector_stores/{store}/file_batches",
        {"files": [{"file_id": "f", "chunking_strategy": {"type": "x"}}]},
        "files[0].chunking_strategy.type",
        "'auto' and 'static'",
    ),
    ("/vector_stores/{store}/search", {"ranking_options": {"ranker": "x"}}, "ranking_options.ranker", RANKERS),
    ("/embeddings", {"encoding_format": "x"}, "encoding_format", "'base64' and 'float'"),
]


@pytest.mark.ledger("responses:supported_values")
@pytest.mark.parametrize(("path", "fields", "param", "values"), ENUMERATIONS)
def test_a_value_outside_its_enumeration_is_refused_with_the_supported_ones(
    client: OpenAI, raw: Plain, path: str, fields: dict[str, Any], param: str, values: str
) -> None:
    body = {"model": "gpt-5", "input": "x", "query": "x"} | fields
    answer = raw.post(path.format(store=client.vector_stores.create().id), body)
    value = "sometimes" if param == "truncation" else "x"
    error = refused(answer, param, f"Invalid value: '{value}'. Supported values are: {values}")
    assert error["code"] == "invalid_value"


@pytest.mark.ledger("responses:supported_values")
def test_values_of_queries_and_forms_are_refused_with_the_supported_ones(client: OpenAI, raw: Plain) -> None:
    assert refused(raw.get("/files", {"order": "up"}), "order", "Supported values are: 'asc' and 'desc'.")
    store = client.vector_stores.create()
    statuses = "Supported values are: 'in_progress', 'completed', 'cancelled', and 'failed'."
    assert refused(raw.get(f"/vector_stores/{store.id}/files", {"filter": "new"}), "filter", statuses)
    form = raw.form("/files", [("purpose", None, b"zzz"), ("file", "a.txt", b"x")])
    assert refused(form, "purpose", "Invalid value: 'zzz'. Supported values are: 'assistants', 'batch', 'fine-tune', ")


@pytest.mark.ledger("responses:unknown_cursor")
@pytest.mark.parametrize("name", ["after", "before"])
def test_an_unknown_cursor_is_a_404_in_every_list(client: OpenAI, raw: Plain, name: str) -> None:
    response = client.responses.create(model="gpt-5", input="hi")
    conversation = client.conversations.create(items=[{"type": "message", "role": "user", "content": "hi"}])
    store = client.vector_stores.create()
    for path in (
        "/files",
        "/vector_stores",
        f"/vector_stores/{store.id}/files",
        f"/responses/{response.id}/input_items",
        f"/conversations/{conversation.id}/items",
    ):
        assert refused(raw.get(path, {name: "nope"}), name, "found with id 'nope'.", status=404)


@pytest.mark.ledger("responses:json_object")
def test_json_mode_needs_the_word_json_somewhere(client: OpenAI) -> None:
    text: Any = {"format": {"type": "json_object"}}
    for given in ("List three fish.", [{"role": "user", "content": "List three fish."}]):
        with pytest.raises(openai.BadRequestError) as error:
            client.responses.create(model="gpt-5", input=given, text=text, instructions="Be brief.")  # type: ignore[arg-type]
        assert (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'."
        ) in error.value.message
        assert error.value.param == "input"
    first = client.responses.create(model="gpt-5", input="Answer in JSON.", text=text)
    assert first.status == "completed"
    parts: Any = [{"role": "developer", "content": [{"type": "input_text", "text": "Only Json, please."}]}]
    assert client.responses.create(model="gpt-5", input=parts, text=text).status == "completed"
    ordered = client.responses.create(model="gpt-5", input="hi", instructions="Answer with a json object.", text=text)
    assert ordered.status == "completed"
    chained = client.responses.create(model="gpt-5", input="And more?", previous_response_id=first.id, text=text)
    assert chained.status == "completed"


@pytest.mark.ledger("files:purposes")
def test_a_list_of_an_unknown_purpose_is_empty(client: OpenAI) -> None:
    client.files.create(file=("a.txt", b"x"), purpose="assistants")
    assert client.files.list(purpose="zzz").data == []


@pytest.mark.ledger("hostile:content_type")
def test_a_json_body_under_another_content_type_is_refused_and_none_is_fine(raw: Plain) -> None:
    body = json.dumps({"model": "gpt-5", "input": "hi"}).encode()
    for header in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"):
        answer = raw.request("POST", "/responses", body, {"content-type": header})
        words = (
            f"Unsupported content type: '{header}'. This API method only accepts 'application/json' requests, but you "
            f"specified the header 'Content-Type: {header}'. Please try again with a supported content type."
        )
        assert refused(answer, None, words, status=415)["code"] == "unsupported_content_type"
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"):
        assert raw.request("POST", "/responses", body, {"content-type": kind}).status == 200
    assert raw.request("POST", "/responses", body).status == 200
