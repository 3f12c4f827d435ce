"""`Idempotency-Key` of chat completions: one is made, a stored one is shown again, what was not kept is refused."""

import threading
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI
from servers import Server, scripted


def ask(client: OpenAI, key: str, prompt: str = "once", **fields: Any) -> Any:
    create: Any = client.chat.completions.create
    messages = [{"role": "user", "content": prompt}]
    return create(model="m", messages=messages, extra_headers={"Idempotency-Key": key}, **fields)


def asked(client: OpenAI, upstream: Server) -> int:
    return len(client._client.get(f"{upstream.url}/requests").json()["data"])


@pytest.mark.ledger("chat:idempotency")
def test_a_stored_completion_is_shown_again() -> None:
    with scripted([]) as (client, upstream):
        key = uuid4().hex
        first = ask(client, key, store=True, metadata={"k": "v"})
        assert ask(client, key, store=True, metadata={"k": "v"}) == first
        assert asked(client, upstream) == 1 and len(client.chat.completions.list().data) == 1
        with pytest.raises(openai.BadRequestError) as error:
            ask(client, key, "other", store=True)
        assert error.value.code == "idempotency_key_reused"
        assert ask(client, uuid4().hex, store=True).id != first.id


@pytest.mark.ledger("chat:idempotency")
@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"stream": True, "store": True}])
def test_what_was_not_kept_is_not_made_twice(fields: dict[str, Any]) -> None:
    with scripted([]) as (client, upstream):
        key = uuid4().hex
        made = ask(client, key, **fields)
        if "stream" in fields:
            assert list(made)
        with pytest.raises(openai.ConflictError) as error:
            ask(client, key, **fields)
        assert error.value.response.headers["x-should-retry"] == "false" and asked(client, upstream) == 1


@pytest.mark.ledger("chat:idempotency")
@pytest.mark.parametrize("fields", [{}, {"store": True}])
def test_a_completion_that_failed_can_be_tried_again(fields: dict[str, Any]) -> None:
    rules: list[Any] = [
        {"times": 1, "reply": {"fault": {"kind": "status", "status": 400}}},
        {"reply": {"text": "fine"}},
    ]
    with scripted(rules) as (client, _):
        key = uuid4().hex
        with pytest.raises(openai.BadRequestError):
            ask(client, key, **fields)
        assert ask(client, key, **fields).choices[0].message.content == "fine"


@pytest.mark.ledger("chat:idempotency")
@pytest.mark.parametrize("fields", [{}, {"store": True}, {"store": True, "stream": True}])
def test_of_several_at_once_one_is_made(fields: dict[str, Any]) -> None:
    with scripted([{"reply": {"text": "slow answer", "delay": 0.3}}]) as (client, upstream):
        key = uuid4().hex
        outcomes: list[int] = []

        def attempt() -> None:
            try:
                made = ask(client, key, **fields)
                outcomes.append(200 if "stream" not in fields or list(made) else 0)
            except openai.APIStatusError as error:
                outcomes.append(error.status_code)

        threads = [threading.Thread(target=attempt) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == [200, 409, 409, 409, 409] and asked(client, upstream) == 1
