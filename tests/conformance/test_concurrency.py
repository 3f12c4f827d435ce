"""`concurrency` of a create call: what becomes of a turn on a busy conversation, over processes too."""

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server, serve, upstream_of

RULES = [{"when": {"contains": "slow"}, "reply": {"text": ["one ", "two ", "three ", "four ", "five"], "delay": 0.5}}]


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Server, Server]]:
    """Two servers on one data directory."""
    with upstream_of(RULES) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(upstream.data / "data", environment) as one, serve(upstream.data / "data", environment) as other:
            yield one, other


def texts(client: OpenAI, conversation_id: str) -> list[str]:
    items: Any = client.conversations.items.list(conversation_id, order="asc")
    return [item.content[0].text for item in items]


@contextmanager
def busy(client: OpenAI) -> Generator[str]:
    """A conversation with a response under way, until its end."""
    conversation = client.conversations.create(items=[{"role": "user", "content": "seed"}])
    with client.responses.create(model="m", input="slow", conversation=conversation.id, stream=True) as stream:
        assert next(iter(stream)).type == "response.created"
        yield conversation.id
        *_, last = stream
    assert last.type == "response.completed"


def ask(client: OpenAI, conversation_id: str, text: str, concurrency: str, **more: Any) -> Any:
    responses: Any = client.responses
    extra = {"concurrency": concurrency}
    return responses.create(model="m", input=text, conversation=conversation_id, extra_body=extra, **more)


@pytest.mark.ledger("conversations:queue", "conversations:queue_processes")
def test_queued_turns_wait_for_their_turn_over_processes(pair: tuple[Server, Server]) -> None:
    client, elsewhere = pair[0].client(), pair[1].client()
    with ThreadPoolExecutor() as pool, busy(client) as name:
        first = pool.submit(ask, elsewhere, name, "first", "queue")
        waiting(pair[0], 1)
        second = pool.submit(ask, client, name, "second", "queue")
        waiting(pair[0], 2)
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, name, "impatient", "reject")
        assert refused.value.code == "conversation_locked"
    assert first.result().output_text == "You said: first"
    assert second.result().conversation.id == name
    assert texts(client, name) == [
        "seed", "slow", "one two three four five", "first", "You said: first", "second", "You said: second",
    ]  # fmt: skip
    waiting(pair[0], 0)


def waiting(server: Server, count: int) -> None:
    """Return once `count` requests stand in lines."""
    deadline = time.monotonic() + 10
    with closing(sqlite3.connect(f"file:{server.data / 'state.db'}?mode=ro", uri=True)) as database:
        while database.execute("SELECT count(*) FROM conversation_lines").fetchone() != (count,):
            assert time.monotonic() < deadline, f"not {count} requests in line"
            threading.Event().wait(0.01)


@pytest.mark.ledger("conversations:queue_stream")
def test_a_stream_and_a_background_run_wait_too(pair: tuple[Server, Server]) -> None:
    client = pair[0].client()
    with ThreadPoolExecutor() as pool, busy(client) as name:
        streamed = pool.submit(lambda: list(ask(client, name, "streamed", "queue", stream=True)))
        waiting(pair[0], 1)
        begun = pool.submit(ask, client, name, "later", "queue", background=True)
        waiting(pair[0], 2)
    events = streamed.result()
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    response = begun.result()
    while response.status in ("queued", "in_progress"):
        response = client.responses.retrieve(response.id)
    assert response.output_text == "You said: later"
    assert texts(client, name)[3:] == ["streamed", "You said: streamed", "later", "You said: later"]


@pytest.mark.ledger("conversations:queue_left")
def test_who_goes_away_leaves_the_line(pair: tuple[Server, Server]) -> None:
    client = pair[0].client()
    with busy(client) as name:
        gone = http.client.HTTPConnection("127.0.0.1", pair[0].port)
        body = json.dumps({"model": "m", "input": "gone", "conversation": name, "concurrency": "queue"})
        gone.request("POST", "/v1/responses", body, {"content-type": "application/json"})
        waiting(pair[0], 1)
        gone.close()
        waiting(pair[0], 0)
    assert texts(client, name) == ["seed", "slow", "one two three four five"]


@pytest.mark.ledger("conversations:fork_busy")
@pytest.mark.parametrize("mode", ["plain", "stream", "background"])
def test_a_turn_on_a_busy_conversation_runs_on_a_fork(pair: tuple[Server, Server], mode: str) -> None:
    client = pair[0].client()
    with busy(client) as name:
        if mode == "stream":
            response: Any = list(ask(client, name, "aside", "fork", stream=True))[-1].response
        else:
            response = ask(client, name, "aside", "fork", background=mode == "background")
            while response.status in ("queued", "in_progress"):
                response = client.responses.retrieve(response.id)
        assert response.output_text == "You said: aside"
        fork = response.conversation.id
        again: Any = client.responses.retrieve(response.id)
        assert fork != name and again.conversation.id == fork
        assert texts(client, fork) == ["seed", "aside", "You said: aside"]
    assert texts(client, name) == ["seed", "slow", "one two three four five"]
    assert ask(client, name, "alone", "fork").conversation.id == name


@pytest.mark.ledger("conversations:concurrency_refusals")
def test_a_choice_that_makes_no_sense_is_refused(pair: tuple[Server, Server]) -> None:
    client = pair[0].client()
    for more in ({"concurrency": "wait", "conversation": "conv_a"}, {"concurrency": "queue"}):
        with pytest.raises(openai.BadRequestError) as error:
            client.responses.create(model="m", input="x", extra_body=more)
        assert error.value.param == "concurrency"
    for choice in ("queue", "fork"):
        with pytest.raises(openai.NotFoundError, match="Conversation with id 'conv_no' not found"):
            ask(client, "conv_no", "x", choice)
