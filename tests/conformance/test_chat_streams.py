"""Streams of chat completions: the chunks as they come over the wire, the SDK's helper, faults, and clients that go."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel
from servers import Server, scripted, serve

WORDS = ["Once ", "upon ", "a ", "time."]
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
CALL: Any = {"name": "clock", "id": "call_1", "arguments": {"zone": "UTC"}}
RULES: list[Any] = [
    {"when": {"contains": "story"}, "reply": {"text": WORDS}},
    {"when": {"contains": "burst"}, "reply": {"text": WORDS, "burst": 9}},
    {"when": {"contains": "long"}, "reply": {"text": WORDS, "finish_reason": "length"}},
    {"when": {"contains": "think"}, "reply": {"reasoning": ["I ", "see."], "text": "Done."}},
    {"when": {"contains": "refuse"}, "reply": {"refusal": ["No ", "way."]}},
    {"when": {"contains": "call"}, "reply": {"text": ["I ", "look."], "tool_calls": [CALL, CALL | {"id": "call_2"}]}},
    {"when": {"contains": "busy"}, "reply": {"fault": {"kind": "status", "status": 429}}},
    {"when": {"contains": "cut"}, "reply": {"text": WORDS, "fault": {"kind": "cut", "after": 2}}},
    {"when": {"contains": "limit"}, "reply": {"text": WORDS, "fault": {"kind": "error", "after": 2, "body": {
        "message": "Slow down", "code": "rate_limit_exceeded"}}}},
    {"when": {"contains": "slow"}, "reply": {"text": ["x "] * 500, "delay": 0.05}},
]  # fmt: skip


@pytest.fixture(scope="module")
def chat() -> Iterator[tuple[OpenAI, Server]]:
    with scripted(RULES) as pair:
        yield pair


def body_of(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], "stream": True} | fields


def create(client: OpenAI, prompt: str, **fields: Any) -> Any:
    """Ask with the SDK: a stream, or an answer where `stream` is false."""
    ask: Any = client.chat.completions.create
    return ask(**body_of(prompt, **fields))


def lines(client: OpenAI, body: dict[str, Any]) -> list[str]:
    """Return the lines of a stream that are not empty."""
    with client._client.stream("POST", f"{client.base_url}chat/completions", json=body) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        return [line for line in answer.iter_lines() if line]


def chunks(client: OpenAI, prompt: str, **fields: Any) -> list[Any]:
    """Return the chunks of a stream that ends as it should."""
    found = lines(client, body_of(prompt, **fields))
    assert all(line.startswith("data: ") for line in found)
    assert found[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in found[:-1]]


def deltas(found: list[Any]) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in found]


@pytest.mark.ledger("chat:stream")
@pytest.mark.parametrize("prompt", ["story", "burst"])
def test_the_role_comes_first_then_a_chunk_for_each_of_the_upstream(chat: tuple[OpenAI, Server], prompt: str) -> None:
    found = chunks(chat[0], prompt)
    first, *middle, last = deltas(found)
    assert first == {"role": "assistant", "content": "", "refusal": None}
    assert middle == [{"content": word} for word in WORDS] and last == {}
    assert [chunk["choices"][0]["finish_reason"] for chunk in found] == [None] * 5 + ["stop"]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in found}) == 1
    assert {chunk["object"] for chunk in found} == {"chat.completion.chunk"}
    assert found[0]["id"].startswith("chatcmpl-") and "usage" not in found[0]


@pytest.mark.ledger("chat:stream", "chat:finish_reasons", "chat:reasoning", "chat:refusal")
def test_other_channels_and_endings_stream_too(chat: tuple[OpenAI, Server]) -> None:
    assert deltas(chunks(chat[0], "think"))[1:3] == [{"reasoning_content": "I "}, {"reasoning_content": "see."}]
    assert deltas(chunks(chat[0], "refuse"))[1:3] == [{"refusal": "No "}, {"refusal": "way."}]
    assert chunks(chat[0], "long")[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.ledger("chat:stream_usage")
def test_usage_is_null_until_a_last_chunk_without_choices(chat: tuple[OpenAI, Server]) -> None:
    *found, last = chunks(chat[0], "story", stream_options={"include_usage": True})
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in found)
    assert last["choices"] == [] and last["usage"]["completion_tokens"] > 0
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]


@pytest.mark.ledger("chat:stream_obfuscation")
def test_obfuscation_is_on_by_default_and_can_be_turned_off(chat: tuple[OpenAI, Server]) -> None:
    padded = chunks(chat[0], "story")
    assert all(chunk["obfuscation"] for chunk in padded[:-1])
    plain = chunks(chat[0], "story", stream_options={"include_obfuscation": False})
    assert not any("obfuscation" in chunk for chunk in plain)


@pytest.mark.ledger("chat:stream_calls")
def test_calls_stream_with_id_and_name_first(chat: tuple[OpenAI, Server]) -> None:
    found = chunks(chat[0], "call", tools=[CLOCK])
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"
    parts = [part for delta in deltas(found) for part in delta.get("tool_calls", [])]
    for index, call_id in enumerate(("call_1", "call_2")):
        first, *rest = [part for part in parts if part["index"] == index]
        head = {"name": "clock", "arguments": ""}
        assert first == {"index": index, "id": call_id, "type": "function", "function": head}
        assert len(rest) == 2 and all(set(part) == {"index", "function"} for part in rest)
        assert json.loads("".join(part["function"]["arguments"] for part in rest)) == {"zone": "UTC"}


@pytest.mark.ledger("chat:stream_calls", "chat:legacy_functions")
def test_the_older_form_of_a_call_streams(chat: tuple[OpenAI, Server]) -> None:
    found = chunks(chat[0], "call", functions=[CLOCK["function"]])
    assert found[-1]["choices"][0]["finish_reason"] == "function_call"
    parts = [delta["function_call"] for delta in deltas(found) if "function_call" in delta]
    assert parts[0] == {"name": "clock", "arguments": ""}
    assert json.loads("".join(part["arguments"] for part in parts)) == {"zone": "UTC"}


class Step(BaseModel):
    """A made-up shape."""

    name: str


@pytest.mark.ledger("chat:stream_helper")
def test_the_helper_accumulates_text_calls_and_objects(chat: tuple[OpenAI, Server]) -> None:
    client = chat[0]
    options: Any = {"include_usage": True}
    with client.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "call"}], tools=[CLOCK], stream_options=options
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "tool_calls.function.arguments.delta"} <= kinds
    assert final.choices[0].message.content == "I look." and final.usage is not None
    assert final.choices[0].message.tool_calls is not None
    assert [call.id for call in final.choices[0].message.tool_calls] == ["call_1", "call_2"]
    with client.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "a step"}], response_format=Step
    ) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Step)


@pytest.mark.ledger("chat:stream_choices")
def test_several_choices_share_a_stream_and_its_end(chat: tuple[OpenAI, Server]) -> None:
    found = chunks(chat[0], "story", n=3, stream_options={"include_usage": True})
    usage = found.pop()
    for index in range(3):
        own = [chunk["choices"][0] for chunk in found if chunk["choices"][0]["index"] == index]
        assert "".join(choice["delta"].get("content") or "" for choice in own) == "".join(WORDS)
        assert own[0]["delta"]["role"] == "assistant" and own[-1]["finish_reason"] == "stop"
    single = chunks(chat[0], "story", stream_options={"include_usage": True})[-1]["usage"]
    assert usage["usage"]["completion_tokens"] == 3 * single["completion_tokens"]
    assert usage["usage"]["prompt_tokens"] == single["prompt_tokens"]
    assert len({chunk["id"] for chunk in found}) == 1


@pytest.mark.ledger("chat:stream_faults")
def test_an_early_fault_is_an_http_error(chat: tuple[OpenAI, Server]) -> None:
    with pytest.raises(openai.RateLimitError):
        create(chat[0], "busy")
    with pytest.raises(openai.RateLimitError):
        create(chat[0], "busy", n=2)


@pytest.mark.ledger("chat:stream_faults")
@pytest.mark.parametrize(
    ("prompt", "kind", "code"),
    [("cut", "server_error", "server_error"), ("limit", "rate_limit_error", "rate_limit_exceeded")],
)
@pytest.mark.parametrize("n", [1, 2])
def test_a_late_fault_is_an_error_in_the_stream(
    chat: tuple[OpenAI, Server], prompt: str, kind: str, code: str, n: int
) -> None:
    *_, fault, done = lines(chat[0], body_of(prompt, n=n))
    error = json.loads(fault.removeprefix("data: "))["error"]
    assert done == "data: [DONE]" and (error["type"], error["code"]) == (kind, code)
    assert set(error) == {"message", "type", "param", "code"}
    with pytest.raises(openai.APIError) as raised:
        list(create(chat[0], prompt, n=n))
    assert raised.value.message == error["message"]
    assert chunks(chat[0], "story")


@pytest.mark.ledger("chat:disconnect")
@pytest.mark.parametrize("fields", [{}, {"n": 2}, {"store": True}])
def test_a_stream_that_nobody_reads_ends_the_upstream_request(fields: dict[str, Any]) -> None:
    with scripted(RULES) as (client, upstream):
        stream = create(client, "slow", **fields)
        next(iter(stream))
        stream.close()
        left = fields.get("n", 1)
        eventually(lambda: client._client.get(f"{upstream.url}/requests").json()["disconnects"] == left)
        assert create(client, "story", stream=False).choices[0].finish_reason == "stop"
        assert client.chat.completions.list().data == []


@pytest.mark.ledger("chat:disconnect")
@pytest.mark.parametrize("fields", [{}, {"n": 2}, {"store": True}])
def test_an_answer_that_nobody_waits_for_ends_the_upstream_request(tmp_path: Path, fields: dict[str, Any]) -> None:
    with Silent() as silent, serve(tmp_path, {"OPENAI_BASE_URL": silent.base_url}) as server:
        client = server.client()
        with pytest.raises(openai.APITimeoutError):
            create(client.with_options(timeout=1), "hi", stream=False, **fields)
        assert all(silent.left.acquire(timeout=10) for _ in range(fields.get("n", 1)))
        assert client.chat.completions.list().data == []


class Silent:
    """An upstream that never answers a question; `left` is released for each one whose client goes."""

    def __init__(self) -> None:
        self.left = threading.Semaphore(0)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def __enter__(self) -> "Silent":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            asked = connection.recv(65536)
            if asked.startswith(b"GET"):
                connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            while connection.recv(65536):
                pass
        self.left.release()


def eventually(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds. Raises AssertionError after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.05)
