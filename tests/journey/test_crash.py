"""kill -9 and SIGTERM: what was acknowledged is there, what was half done is finished or ended, nobody waits long."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server, serve, upstream_of

SLOW: list[Any] = [
    {"when": {"contains": "slowly"}, "reply": {"text": ["word "] * 200, "delay": 0.1}},
]


def begin_stream(client: OpenAI, **fields: Any) -> Any:
    """Return a stream of which the first words have come."""
    stream = client.responses.create(model="gpt-5", input="slowly", stream=True, **fields)
    for event in stream:
        if event.type == "response.output_text.delta":
            return stream
    raise AssertionError("the stream ended before its first word")


@pytest.mark.ledger("durability:kill")
def test_what_was_acknowledged_before_a_kill_is_there_after_the_restart(tmp_path: Path) -> None:
    with upstream_of([]) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(tmp_path, environment) as server:
            client = server.client()
            conversation = client.conversations.create(items=[{"role": "user", "content": "zero"}])
            file = client.files.create(file=("note.txt", b"kept"), purpose="user_data")
            responses = [
                client.responses.create(model="gpt-5", input=f"turn {n}", conversation=conversation.id)
                for n in range(5)
            ]
            added = client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "last"}])
            server.kill()
        with serve(tmp_path, environment) as server:
            client = server.client()
            for response in responses:
                assert client.responses.retrieve(response.id).model_dump() == response.model_dump()
            texts = [item.content[0].text for item in client.conversations.items.list(conversation.id, order="asc")]  # type: ignore[union-attr]
            assert texts == ["zero", *(text for n in range(5) for text in (f"turn {n}", f"You said: turn {n}")), "last"]
            assert client.conversations.items.list(conversation.id).data[0].id == added.data[0].id
            assert client.files.content(file.id).read() == b"kept"
            again = client.responses.create(model="gpt-5", input="go on", previous_response_id=responses[-1].id)
            assert again.status == "completed"


@pytest.mark.ledger("durability:in_flight")
def test_a_conversation_with_a_run_in_flight_at_the_kill_is_free_after_the_restart(tmp_path: Path) -> None:
    with upstream_of(SLOW) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(tmp_path, environment) as server:
            client = server.client()
            conversation = client.conversations.create(items=[{"role": "user", "content": "before"}])
            with begin_stream(client, conversation=conversation.id) as stream:
                response_id = _running(client, conversation.id)
                server.kill()
                _drain(stream)
        assert response_id
        with serve(tmp_path, environment) as server:
            client = server.client()
            after = client.responses.create(model="gpt-5", input="after", conversation=conversation.id)
            assert after.output_text == "You said: after"
            texts = [item.content[0].text for item in client.conversations.items.list(conversation.id, order="asc")]  # type: ignore[union-attr]
            assert texts == ["before", "after", "You said: after"]


def _running(client: OpenAI, conversation: str) -> bool:
    """Tell that the conversation is locked by a run."""
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="gpt-5", input="meanwhile", conversation=conversation)
    return error.value.code == "conversation_locked"


@pytest.mark.ledger("durability:terminate")
def test_sigterm_during_streams_ends_the_server_and_their_runs(tmp_path: Path) -> None:
    with upstream_of(SLOW) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(tmp_path, environment) as server:
            client = server.client()
            conversation = client.conversations.create()
            streams = [begin_stream(client) for _ in range(4)] + [begin_stream(client, conversation=conversation.id)]
            readers = [threading.Thread(target=_drain, args=(stream,)) for stream in streams]
            for reader in readers:
                reader.start()
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(15) in (0, -signal.SIGTERM)
            assert time.monotonic() - started < 15
            for reader in readers:
                reader.join(10)
                assert not reader.is_alive()
        with serve(tmp_path, environment) as server:
            after = server.client().responses.create(model="gpt-5", input="after", conversation=conversation.id)
            assert after.status == "completed"


def _drain(stream: Any) -> None:
    try:
        for _ in stream:
            pass
    except Exception:  # noqa: BLE001 - a stream that is cut raises what the transport of each SDK line raises
        return


@pytest.mark.ledger("durability:workers")
def test_workers_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    with upstream_of([]) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url, "ONWARD_WORKERS": "3"}
        with serve(tmp_path, environment) as server:
            response = server.client().responses.create(model="gpt-5", input="kept")
            server.kill()
            _until_gone(server)
        with serve(tmp_path, environment, port=server.port) as second:
            assert second.client().responses.retrieve(response.id).output_text == "You said: kept"


def _until_gone(server: Server) -> None:
    deadline = time.monotonic() + 10
    client = server.client()
    while time.monotonic() < deadline:
        try:
            client.models.list()
        except openai.APIConnectionError:
            return
    raise AssertionError("a worker outlived its supervisor")
