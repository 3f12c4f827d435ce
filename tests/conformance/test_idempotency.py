"""`Idempotency-Key`: what is sent twice happens once, and is answered alike."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI
from servers import Server, scripted


def keyed(name: str | None = None) -> Mapping[str, str]:
    return {"Idempotency-Key": name or uuid4().hex}


def asked(upstream: Server) -> int:
    with urllib.request.urlopen(f"{upstream.url}/requests") as answer:
        return len(json.load(answer)["data"])


@pytest.mark.ledger("idempotency:same", "idempotency:other_body")
def test_a_request_sent_again_gets_the_same_answer() -> None:
    with scripted([]) as (client, upstream):
        headers = keyed()
        first = client.responses.create(model="m", input="once", extra_headers=headers)
        again = client.responses.create(model="m", input="once", extra_headers=headers)
        assert again == first and asked(upstream) == 1
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="m", input="other", extra_headers=headers)
        assert caught.value.code == "idempotency_key_reused"
        other = client.responses.create(model="m", input="once", extra_headers=keyed())
        assert other.id != first.id


@pytest.mark.ledger("idempotency:in_flight")
def test_a_request_sent_again_meanwhile_waits_for_the_first() -> None:
    slow = [{"reply": {"text": "slow answer", "delay": 0.3}}]
    with scripted(slow) as (client, upstream):
        headers = keyed()
        answers: list[Any] = []

        def ask() -> None:
            answers.append(
                client.with_options(max_retries=3).responses.create(model="m", input="x", extra_headers=headers)
            )

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 4 and len({answer.id for answer in answers}) == 1 and asked(upstream) == 1
        assert {answer.output_text for answer in answers} == {"slow answer"}


@pytest.mark.ledger("idempotency:stream")
def test_a_stream_sent_again_is_told_again() -> None:
    with scripted([{"reply": {"text": ["a ", "b ", "c"], "delay": 0.05}}]) as (client, upstream):
        headers = keyed()
        told = [
            [
                event.to_json()
                for event in client.responses.create(model="m", input="x", stream=True, extra_headers=headers)
            ]
            for _ in range(2)
        ]
        assert told[0] == told[1] and asked(upstream) == 1


@pytest.mark.ledger("idempotency:background")
def test_a_background_response_sent_again_is_the_same_one() -> None:
    with scripted([]) as (client, upstream):
        headers = keyed()
        first = client.responses.create(model="m", input="x", background=True, extra_headers=headers)
        again = client.responses.create(model="m", input="x", background=True, extra_headers=headers)
        assert again.id == first.id and asked(upstream) <= 1


@pytest.mark.ledger("idempotency:unstored")
def test_without_store_a_repetition_is_refused_for_good(client: OpenAI) -> None:
    headers = keyed()
    client.responses.create(model="gpt-5", input="x", store=False, extra_headers=headers)
    with pytest.raises(openai.ConflictError) as caught:
        client.responses.create(model="gpt-5", input="x", store=False, extra_headers=headers)
    assert caught.value.response.headers["x-should-retry"] == "false"


@pytest.mark.ledger("idempotency:failed")
def test_a_turn_that_failed_may_be_tried_again_under_its_key() -> None:
    fault = {"when": {"contains": "x"}, "times": 3, "reply": {"fault": {"kind": "status", "status": 500}}}
    with scripted([fault]) as (client, _):
        headers = keyed()
        with pytest.raises(openai.APIStatusError):
            client.responses.create(model="m", input="x", extra_headers=headers)
        assert client.responses.create(model="m", input="x", extra_headers=headers).status == "completed"


@pytest.mark.ledger("idempotency:objects")
def test_objects_are_made_once(client: OpenAI) -> None:
    headers = keyed()
    first = client.conversations.create(metadata={"a": "b"}, extra_headers=headers)
    assert client.conversations.create(metadata={"a": "b"}, extra_headers=headers).id == first.id
    headers = keyed()
    store = client.vector_stores.create(name="one", extra_headers=headers)
    assert client.vector_stores.create(name="one", extra_headers=headers).id == store.id
    headers = keyed()
    file = client.files.create(file=("a.txt", b"text"), purpose="user_data", extra_headers=headers)
    assert client.files.create(file=("a.txt", b"text"), purpose="user_data", extra_headers=headers).id == file.id
    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            client.vector_stores.files.create(store.id, file_id="file-nothing", extra_headers=headers)
    items: Any = [{"role": "user", "content": "x"}]
    headers = keyed()
    added = [client.conversations.items.create(first.id, items=items, extra_headers=headers) for _ in range(2)]
    assert added[0] == added[1] and len(client.conversations.items.list(first.id).data) == 1


@pytest.mark.ledger("idempotency:in_flight")
def test_streams_that_race_for_a_key_ask_the_model_once() -> None:
    with scripted([{"reply": {"text": ["slow ", "answer"], "delay": 0.2}}]) as (client, upstream):
        headers = keyed()
        told: list[str] = []
        refused: list[openai.APIStatusError] = []

        def ask() -> None:
            try:
                stream = client.responses.create(model="m", input="x", stream=True, extra_headers=headers)
                told.append("".join(event.delta for event in stream if event.type == "response.output_text.delta"))
            except openai.ConflictError as error:
                refused.append(error)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told and set(told) == {"slow answer"} and len(told) + len(refused) == 6 and asked(upstream) == 1


@pytest.mark.ledger("idempotency:same")
@pytest.mark.parametrize(
    "body", [b"[" * 5_000, b'{"metadata": "\xff"}', b'{"input": ' + b'{"a":' * 5_000, b'{"inp', b"[]"]
)
@pytest.mark.parametrize("path", ["/responses", "/chat/completions", "/conversations"])
def test_a_body_that_is_none_is_refused_under_a_key_too(server: Server, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"} | dict(keyed())
    request = urllib.request.Request(server.base_url + path, data=body, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as answer:
        assert answer.code == 400 and json.load(answer)["error"]["type"] == "invalid_request_error"
