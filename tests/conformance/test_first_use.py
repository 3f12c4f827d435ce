"""What people send at first, and what attackers do: refused where it stands, with what would be right."""

import base64
from typing import Any

import openai
import pytest
from openai import OpenAI
from plain_http import Answer, Plain
from servers import Server

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()


@pytest.fixture
def raw(server: Server) -> Plain:
    return Plain(server.port)


def refused(answer: Answer, param: str, code: str | None, words: str) -> None:
    assert answer.status == 400, answer.body
    error = answer.error()
    assert error["param"] == param and error["code"] == code and words in error["message"], error


@pytest.mark.ledger("input:image_data")
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,@@@@", "invalid_base64_image"),
        ("data:image/png;base64,AAA", "invalid_base64_image"),
        ("data:image/png;base64," + "A" * 100_000 + "@" * 4, "invalid_base64_image"),
        ("data:image/png," + PNG, "invalid_base64_image"),
        ("data:" + "x" * 300, "invalid_base64_image"),
        ("data:image/png;base64,", "empty_image_file"),
        ("data:application/x-msdownload;base64,AAAA", "unsupported_image_media_type"),
        ("data:image/svg+xml;base64,AAAA", "unsupported_image_media_type"),
        ("data:image/png;base64,AAAA", "invalid_image_format"),
    ],
)
def test_an_image_that_is_none_is_refused_in_both_dialects(raw: Plain, url: str, code: str) -> None:
    part = {"type": "input_image", "image_url": url}
    body: dict[str, Any] = {"model": "m", "input": [{"role": "user", "content": [part]}]}
    param = "input[0].content[0].image_url"
    refused(raw.post("/responses", body), param, code, f"Invalid '{param}'")
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    chat = raw.post("/chat/completions", {"model": "m", "messages": [message]})
    refused(chat, "messages[0].content[0].image_url.url", code, "Invalid")


@pytest.mark.ledger("input:image_data")
@pytest.mark.parametrize("data", [PNG, PNG[:40] + "\n" + PNG[40:], PNG[:-4] + "A" * 200_000])
def test_images_as_clients_encode_them_reach_the_model(client: OpenAI, data: str) -> None:
    part: Any = {"type": "input_image", "image_url": f"data:image/png;base64,{data}", "detail": "auto"}
    assert client.responses.create(model="m", input=[{"role": "user", "content": [part]}]).output_text


@pytest.mark.ledger("responses:unsupported")
@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("context_management", [{"type": "compaction", "compact_threshold": 1}], "context_management"),
        ("moderation", {"model": "omni-moderation-latest"}, "moderation"),
        ("background_options", {"continuation_id": "x"}, "background_options.continuation_id"),
        ("prompt_cache_options", {"prewarm": True}, "prompt_cache_options.prewarm"),
        ("reasoning", {"mode": "pro"}, "reasoning.mode"),
        ("reasoning", {"context": "all_turns"}, "reasoning.context"),
    ],
)
def test_fields_that_would_change_the_answer_are_refused(raw: Plain, field: str, value: object, param: str) -> None:
    for path in ("/responses", "/responses/input_tokens"):
        answer = raw.post(path, {"model": "m", "input": "x", field: value})
        refused(answer, param, "unsupported_parameter", "is not supported by this version")


@pytest.mark.ledger("responses:unsupported")
def test_the_same_fields_with_nothing_in_them_and_hints_are_taken(raw: Plain) -> None:
    taken: tuple[dict[str, object], ...] = (
        {"context_management": None, "moderation": None, "background_options": None, "prompt_cache_options": None},
        {"context_management": [], "prompt_cache_options": {"mode": "explicit", "prewarm": False}},
        {"reasoning": {"mode": "standard", "context": "auto"}, "background_options": {"completion_window": "2h"}},
    )
    for fields in taken:
        answer = raw.post("/responses", {"model": "m", "input": "x", **fields})
        assert answer.status == 200, answer.body


@pytest.mark.ledger("responses:ranges")
def test_names_that_are_too_long_are_told_their_limit(raw: Plain) -> None:
    tool: dict[str, object] = {
        "type": "function",
        "name": "f" * 500,
        "parameters": {"type": "object", "properties": {}},
    }
    answer = raw.post("/responses", {"model": "m", "input": "x", "tools": [tool]})
    refused(answer, "tools[0].name", "string_above_max_length", "maximum length 128, but got a string with length 500")
    long = {"model": "m", "safety_identifier": "s" * 129}
    words = "maximum length 128"
    answer = raw.post("/responses", long | {"input": "x"})
    refused(answer, "safety_identifier", "string_above_max_length", words)
    answer = raw.post("/chat/completions", long | {"messages": [{"role": "user", "content": "x"}]})
    refused(answer, "safety_identifier", "string_above_max_length", words)


@pytest.mark.ledger("input:unknown_file")
@pytest.mark.parametrize("kind", ["input_file", "input_image"])
def test_an_unknown_file_is_named_by_its_place(client: OpenAI, kind: str) -> None:
    part: Any = {"type": kind, "file_id": "file-none"}
    first = client.responses.create(model="m", input="first")
    for after in (None, first.id):
        text: Any = {"role": "user", "content": "a"}
        content: Any = [{"type": "input_text", "text": "b"}, part]
        with pytest.raises(openai.NotFoundError) as error:
            client.responses.create(
                model="m", previous_response_id=after, input=[text, {"role": "user", "content": content}]
            )
        assert error.value.param == "input[1].content[1].file_id"


@pytest.mark.ledger("vector_stores:limits")
def test_a_store_is_not_made_with_too_many_files(raw: Plain) -> None:
    for ids in ([f"file-{number}" for number in range(501)], ["file-1"] * 501):
        answer = raw.post("/vector_stores", {"file_ids": ids})
        refused(answer, "file_ids", "array_above_max_length", "maximum length 500, but got an array with length 501")


@pytest.mark.ledger("embeddings:no_name")
def test_a_model_without_a_name_is_the_list(raw: Plain) -> None:
    assert raw.get("/models/").json() == raw.get("/models").json()
