"""Background responses, streams that are told again, and cancelling: over HTTP, with the SDK's own methods."""

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response
from servers import Server, scripted, serve, upstream_of

SLOW = [{"when": {"contains": "slow"}, "reply": {"text": [f"word{n} " for n in range(40)], "delay": 0.05}}]
STUCK = [
    {"when": {"contains": "stuck"}, "reply": {"text": ["begun "], "delay": 0.02, "fault": {"kind": "hang", "after": 1}}}
]


def until(client: OpenAI, response_id: str, *statuses: str, seconds: float = 20) -> Response:
    """Poll until a response has one of `statuses`."""
    deadline = time.monotonic() + seconds
    while True:
        found = client.responses.retrieve(response_id)
        if found.status in statuses:
            return found
        assert time.monotonic() < deadline, f"still {found.status}"
        time.sleep(0.02)


def told(
    client: OpenAI,
    path: str,
    *,
    body: dict[str, Any] | None = None,
    limit: int | None = None,
    then: Callable[[], None] | None = None,
) -> list[bytes]:
    """Return the frames of a stream as they came, at most `limit` of them; `then` is called before it is left."""
    found: list[bytes] = []
    http: Any = client._client
    call: dict[str, Any] = {"method": "GET"} if body is None else {"method": "POST", "json": body}
    with http.stream(url=f"{client.base_url}{path}", **call) as answer:
        assert answer.status_code == 200, answer.read()
        rest = b""
        for chunk in answer.iter_bytes():
            *whole, rest = (rest + chunk).split(b"\n\n")
            found += [frame for frame in whole if not frame.startswith(b":")]
            if limit is not None and len(found) >= limit:
                if then is not None:
                    then()
                return found[:limit]
    return found


def requests_of(upstream: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{upstream.url}/requests") as answer:
        return json.load(answer)


def number(frame: bytes) -> int:
    return int(json.loads(frame.split(b"\ndata: ", 1)[1])["sequence_number"])


@pytest.mark.ledger("background:create", "background:poll")
def test_a_background_response_is_queued_and_then_completed(server: Server) -> None:
    client = server.client()
    raw = client.responses.with_raw_response.create(model="gpt-5", input="tell me", background=True)
    begun = raw.parse()
    assert begun.status == "queued" and begun.background is True and begun.output == []
    assert raw.headers["openai-poll-after-ms"]
    done = until(client, begun.id, "completed")
    assert done.output_text == "You said: tell me" and done.usage is not None and done.background is True
    follow_up = client.responses.create(model="gpt-5", input="and?", previous_response_id=begun.id)
    assert follow_up.status == "completed"


@pytest.mark.ledger("background:store")
def test_a_background_response_has_to_be_stored(server: Server) -> None:
    with pytest.raises(BadRequestError) as caught:
        server.client().responses.create(model="gpt-5", input="x", background=True, store=False)
    assert caught.value.param == "background"


@pytest.mark.ledger("background:stream", "resume:identical", "resume:starting_after")
def test_a_background_stream_is_told_again_byte_for_byte(server: Server) -> None:
    client = server.client()
    body = {"model": "gpt-5", "input": "tell me a story", "background": True, "stream": True}
    first = told(client, "responses", body=body)
    assert first[-1] == b"data: [DONE]"
    events = [json.loads(frame.split(b"\ndata: ", 1)[1]) for frame in first[:-1]]
    assert [event["type"] for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert [event["response"]["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    path = f"responses/{events[0]['response']['id']}?stream=true"
    assert told(client, path) == first
    for after in (0, 5, len(events) - 2):
        assert told(client, f"{path}&starting_after={after}") == first[after + 1 :]
    plain = told(client, f"{path}&include_obfuscation=false")
    assert b"obfuscation" not in b"".join(plain) and len(plain) == len(first)


@pytest.mark.ledger("resume:foreground")
def test_a_foreground_stream_is_told_again_byte_for_byte(server: Server) -> None:
    client = server.client()
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}
    for question in ("tell me of Zürich \U0001f600", 'call get_weather {"city": "Oslo"}'):
        first = told(client, "responses", body={"model": "gpt-5", "input": question, "stream": True, "tools": [tool]})
        response_id = json.loads(first[0].split(b"\ndata: ", 1)[1])["response"]["id"]
        assert told(client, f"responses/{response_id}?stream=true") == first
        assert told(client, f"responses/{response_id}?stream=true&starting_after=3") == first[4:]


@pytest.mark.ledger("resume:not_streamed")
def test_a_response_without_a_stream_has_none_to_tell(server: Server) -> None:
    client = server.client()
    made = client.responses.create(model="gpt-5", input="x")
    with pytest.raises(BadRequestError) as caught:
        client.responses.retrieve(made.id, stream=True)
    assert caught.value.param == "stream"


@pytest.mark.ledger("background:disconnect", "resume:live")
def test_a_background_stream_goes_on_without_its_client_and_is_taken_up_live() -> None:
    with scripted(SLOW) as (client, upstream):
        body = {"model": "m", "input": "slow", "background": True, "stream": True}
        begun = told(client, "responses", body=body, limit=10)
        response_id = json.loads(begun[0].split(b"\ndata: ", 1)[1])["response"]["id"]
        assert client.responses.retrieve(response_id).status == "in_progress"
        rest = told(client, f"responses/{response_id}?stream=true&starting_after={number(begun[-1])}")
        assert [number(frame) for frame in [*begun, *rest[:-1]]] == list(range(len(begun) + len(rest) - 1))
        assert client.responses.retrieve(response_id).output_text == "".join(f"word{n} " for n in range(40))
        requests = requests_of(upstream)
        assert len(requests["data"]) == 1 and requests["disconnects"] == 0


@pytest.mark.ledger("cancel:background", "cancel:idempotent", "cancel:upstream")
def test_a_background_response_is_cancelled_once_and_for_all() -> None:
    with scripted(STUCK) as (client, upstream):
        body = {"model": "m", "input": "stuck", "background": True, "stream": True}
        begun = told(client, "responses", body=body, limit=6)
        response_id = json.loads(begun[0].split(b"\ndata: ", 1)[1])["response"]["id"]
        cancelled = client.responses.cancel(response_id)
        assert cancelled.status == "cancelled" and cancelled.usage is not None and cancelled.usage.output_tokens > 0
        assert client.responses.cancel(response_id) == cancelled
        assert client.responses.retrieve(response_id).status == "cancelled"
        whole = told(client, f"responses/{response_id}?stream=true")
        assert whole[:6] == begun and whole[-2].startswith(b"event: response.failed")
        deadline = time.monotonic() + 10
        while not requests_of(upstream)["disconnects"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(NotFoundError):
            client.responses.cancel("resp_" + "0" * 32)


@pytest.mark.ledger("cancel:foreground")
def test_a_foreground_stream_can_be_cancelled_from_another_connection() -> None:
    with scripted(STUCK) as (client, _):
        names: list[str] = []
        response_id = ""
        with client.responses.create(model="m", input="stuck", stream=True) as stream:
            for event in stream:
                names.append(event.type)
                if event.type == "response.output_text.delta":
                    assert client.responses.cancel(response_id).status == "cancelled"
                elif event.type == "response.created":
                    response_id = event.response.id
        assert names[-1] == "response.failed"
        assert client.responses.retrieve(response_id).status == "cancelled"
        with pytest.raises(BadRequestError, match="Cannot cancel a synchronous response"):
            client.responses.cancel(response_id)


@pytest.mark.ledger("background:fair")
def test_a_background_run_that_waits_can_be_cancelled() -> None:
    with scripted([*STUCK], ONWARD_BACKGROUND_SLOTS="1") as (client, _):
        first = client.responses.create(model="m", input="stuck", background=True)
        until(client, first.id, "in_progress")
        second = client.responses.create(model="m", input="stuck", background=True)
        assert client.responses.retrieve(second.id).status == "queued"
        assert client.responses.cancel(second.id).status == "cancelled"
        assert client.responses.cancel(first.id).status == "cancelled"
        third = client.responses.create(model="m", input="hello", background=True)
        until(client, third.id, "completed")


@pytest.mark.ledger("recovery:background", "recovery:stream_numbers", "recovery:restart")
@pytest.mark.parametrize("stream", [True, False])
def test_a_background_run_goes_on_after_kill_9(tmp_path: Path, stream: bool) -> None:
    with upstream_of(SLOW) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(tmp_path / "data", environment) as server:
            client = server.client()
            begun: list[bytes] = []
            if stream:
                body = {"model": "m", "input": "slow", "background": True, "stream": True}
                begun = told(client, "responses", body=body, limit=20)
                response_id = json.loads(begun[0].split(b"\ndata: ", 1)[1])["response"]["id"]
            else:
                response_id = client.responses.create(model="m", input="slow", background=True).id
                until(client, response_id, "in_progress")
                time.sleep(0.3)
            server.kill()
        with serve(tmp_path / "data", environment) as server:
            client = server.client()
            done = until(client, response_id, "completed")
            assert done.output_text == "".join(f"word{n} " for n in range(40))
            assert (
                client.responses.create(model="m", input="next", previous_response_id=response_id).status == "completed"
            )
            if not stream:
                return
            whole = told(client, f"responses/{response_id}?stream=true")
            assert whole[: len(begun)] == begun
            assert [number(frame) for frame in whole[:-1]] == list(range(len(whole) - 1))
            last = json.loads(whole[-2].split(b"\ndata: ", 1)[1])
            assert last["type"] == "response.completed" and len(last["response"]["output"]) == 1
            closed = [
                json.loads(f.split(b"\ndata: ", 1)[1])
                for f in whole
                if f.startswith(b"event: response.output_item.done")
            ]
            assert [(item["output_index"], item["item"]["status"]) for item in closed] == [
                (0, "incomplete"),
                (1, "completed"),
            ]


@pytest.mark.ledger("recovery:foreground", "recovery:numbers_not_reused")
def test_a_foreground_stream_that_died_ends_truthfully_and_reuses_no_number(tmp_path: Path) -> None:
    with upstream_of(SLOW) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(tmp_path / "data", environment) as server:
            client = server.client()
            body = {"model": "m", "input": "slow", "stream": True}
            begun = told(client, "responses", body=body, limit=25, then=server.kill)
            response_id = json.loads(begun[0].split(b"\ndata: ", 1)[1])["response"]["id"]
        with serve(tmp_path / "data", environment) as server:
            client = server.client()
            died = until(client, response_id, "failed")
            assert died.error is not None and died.error.code == "server_error"
            whole = told(client, f"responses/{response_id}?stream=true")
            numbers = {number(frame): frame for frame in whole[:-1]}
            assert len(numbers) == len(whole) - 1
            for frame in begun:
                assert numbers.get(number(frame), frame) == frame
            after = told(client, f"responses/{response_id}?stream=true&starting_after={number(begun[-1])}")
            assert after[-2].startswith(b"event: response.failed") and number(after[-2]) > number(begun[-1])
