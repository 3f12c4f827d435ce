"""`/v1/responses` as a WebSocket before wrong and hostile clients: refused, bounded, and nobody else suffers."""

import json
import socket as tcp
import time
from typing import Any

import pytest
from openai import OpenAI
from servers import Server, scripted
from sockets import open_socket
from websockets.exceptions import InvalidStatus


def refusal(server: Server, **options: Any) -> tuple[int, Any]:
    """Return status and error of a connection that is refused."""
    with pytest.raises(InvalidStatus) as refused, open_socket(server, **options):
        pass
    answer = refused.value.response
    assert answer.headers["x-request-id"].startswith("req_")
    return answer.status_code, json.loads(answer.body or b"")["error"]


@pytest.mark.ledger("websocket:auth")
def test_a_connection_needs_a_key_where_requests_need_one(serve_here: Any) -> None:
    server = serve_here(ONWARD_API_KEY="sk-preset-0123456789")
    assert refusal(server)[0] == 401
    status, error = refusal(server, additional_headers={"Authorization": "Bearer sk-wrong-0123456789"})
    assert status == 401 and error["code"] == "invalid_api_key" and "sk-wrong-0123456789" not in error["message"]
    with open_socket(server, additional_headers={"Authorization": "Bearer sk-preset-0123456789"}) as socket:
        assert socket.ask(input="x")["status"] == "completed"


@pytest.mark.ledger("websocket:auth")
def test_without_a_key_web_pages_of_other_hosts_are_refused(server: Server) -> None:
    status, error = refusal(server, origin="https://evil.example")
    assert status == 403 and "evil.example" in error["message"]
    assert answer_to(server, b"Host: rebound.example\r\n" + UPGRADE).startswith(b"HTTP/1.1 403 ")
    with open_socket(server, origin=f"http://localhost:{server.port}") as socket:  # type: ignore[arg-type]
        assert socket.ask(input="x")["status"] == "completed"


@pytest.mark.ledger("websocket:auth")
def test_other_paths_have_no_socket_and_headers_are_checked_before(server: Server) -> None:
    for path in ("/v1/chat/completions", "/v1/responses/resp_x", "/nowhere", "/health"):
        status, error = refusal(server, path=path)
        assert status == 404 and error["type"] == "invalid_request_error"
    assert refusal(server, additional_headers={"Onward-On-Disconnect": "explode"})[0] == 400


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def answer_to(server: Server, headers: bytes, *, method: bytes = b"GET", body: bytes = b"") -> bytes:
    """Return the beginning of what the server says to a request that is written by hand."""
    with tcp.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(method + b" /v1/responses HTTP/1.1\r\n" + headers + b"\r\n" + body)
        return connection.recv(4096)


def bare(port: int | None) -> tcp.socket:
    """Open a WebSocket by hand: a client that does only what a test lets it do."""
    connection = tcp.create_connection(("127.0.0.1", port or 0), timeout=20)
    connection.sendall(b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


def frame(text: str) -> bytes:
    """Return a text frame with a mask of zeros."""
    payload = text.encode()
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


@pytest.mark.ledger("hostile:websocket")
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        (b"GET", UPGRADE.replace(b"13", b"7")),
        (b"GET", UPGRADE.replace(b"AAAA==", b"")),
        (b"GET", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        (b"GET", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        (b"GET", UPGRADE + b"Content-Length: 2\r\n"),
        (b"GET", UPGRADE + b"X-Long: " + b"y" * 20_000 + b"\r\n"),
        (b"GET", UPGRADE + b"X-Many: y\r\n" * 300),
        (b"POST", UPGRADE + b"Content-Length: 2\r\n"),
    ],
)
def test_an_upgrade_that_is_none_is_refused_at_once(
    server: Server, client: OpenAI, method: bytes, headers: bytes
) -> None:
    body = b"{}" if method == b"POST" else b""
    answer = answer_to(server, b"Host: localhost\r\n" + headers, method=method, body=body)
    assert answer.startswith(b"HTTP/1.1 4")
    assert client.responses.create(model="m", input="hi").status == "completed"


WRONG: list[tuple[Any, str | None, str | None]] = [
    ("{", None, None),
    ("", "missing_required_parameter", "type"),
    ("[]", "invalid_type", None),
    ("null", "invalid_type", None),
    ("7", "invalid_type", None),
    ('{"type": "response.create", "input": "\\ud800"}', "invalid_unicode", "input"),
    ("[" * 5000, None, None),
    (b'{"type": "response.create", "input": "x"}', "invalid_message", None),
    (b"\xff\xfe", "invalid_message", None),
    ({"input": "x"}, "missing_required_parameter", "type"),
    ({"type": "response.cancel"}, "invalid_value", "type"),
    ({"type": 3}, "invalid_type", "type"),
    ({"type": "response.create", "stream_id": 3}, "invalid_type", "stream_id"),
    ({"type": "response.create", "stream_id": ""}, "invalid_value", "stream_id"),
    ({"type": "response.create", "stream_id": "x" * 65}, "string_above_max_length", "stream_id"),
    ({"type": "response.create", "generate": "no"}, "invalid_type", "generate"),
    ({"type": "response.create"}, "missing_required_parameter", "input"),
    ({"type": "response.create", "input": 3}, "invalid_type", "input"),
    ({"type": "response.create", "input": "x", "background": True}, "unsupported_value", "background"),
    ({"type": "response.create", "input": "x", "temperature": 3}, "decimal_above_max_value", "temperature"),
    ({"type": "response.create", "input": "x", "conversation": "conv_none"}, None, None),
    ({"type": "response.steer"}, "missing_required_parameter", "previous_response_id"),
    ({"type": "response.steer", "previous_response_id": "x"}, "missing_required_parameter", "input"),
]


@pytest.mark.ledger("websocket:errors", "hostile:websocket")
def test_every_wrong_message_is_answered_and_the_connection_goes_on(server: Server) -> None:
    with open_socket(server) as socket:
        for message, code, param in WRONG:
            socket.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))
            answer = socket.receive()
            assert answer["type"] == "error" and 400 <= answer["status"] < 500, (message, answer)
            assert set(answer["error"]) == {"type", "code", "message", "param"}, answer
            if code is not None:
                assert (answer["error"]["code"], answer["error"]["param"]) == (code, param), (message, answer)
        assert socket.ask(input="still here")["status"] == "completed"


@pytest.mark.ledger("websocket:errors")
def test_an_error_names_its_lane_and_carries_what_steers_retries() -> None:
    limited = {"kind": "status", "status": 429, "headers": {"retry-after": "7"}}
    with (
        scripted([{"when": {"contains": "busy"}, "reply": {"fault": limited}}]) as (client, _),
        open_socket(client) as one,
    ):
        wrong = one.ask(input="x", temperature=3, stream_id="a")
        assert wrong["stream_id"] == "a" and wrong["status"] == 400
        busy = one.ask(input="busy", stream_id="b")
        assert busy["status"] == 429 and busy["error"]["type"] == "rate_limit_error"
        assert int(busy["error"]["headers"]["retry-after"]) >= 1 and busy["stream_id"] == "b"


@pytest.mark.ledger("hostile:websocket")
def test_a_message_beyond_the_limit_closes_the_connection(server: Server, client: OpenAI) -> None:
    with bare(server.port) as connection:
        connection.sendall(b"\x81\xff" + (2**26 + 1).to_bytes(8, "big") + bytes(4))
        assert connection.recv(2)[0] == 0x88, "a close frame"
        assert int.from_bytes(connection.recv(2), "big") == 1009
    assert client.responses.create(model="m", input="hi").status == "completed"


@pytest.mark.ledger("hostile:websocket")
@pytest.mark.parametrize(
    "garbage", [b"\x81\x02hi", b"\xf1\x80" + bytes(4), b"\x83\x80" + bytes(4), b"\x81\x81" + bytes(4) + b"\xff"]
)
def test_frames_that_break_the_protocol_close_the_connection(server: Server, client: OpenAI, garbage: bytes) -> None:
    with bare(server.port) as connection:
        connection.sendall(garbage)
        assert connection.recv(2)[0] == 0x88, "a close frame"
        assert int.from_bytes(connection.recv(2), "big") in (1002, 1007)
    assert client.responses.create(model="m", input="hi").status == "completed"


@pytest.mark.ledger("hostile:websocket")
def test_a_thousand_messages_at_once_are_answered_in_order(server: Server, client: OpenAI) -> None:
    with open_socket(server) as socket:
        for number in range(1000):
            socket.create(input=f"{number}", generate=False, metadata={"number": f"{number}"})
        assert client.responses.create(model="m", input="meanwhile").status == "completed"
        numbers: list[int] = []
        while len(numbers) < 1000:
            message = socket.receive()
            assert message["type"] != "error"
            if message["type"] == "response.completed":
                numbers.append(int(message["response"]["metadata"]["number"]))
        assert numbers == list(range(1000))


@pytest.mark.ledger("hostile:websocket", "websocket:limits")
def test_what_waits_is_bounded() -> None:
    rules = [{"when": {"contains": "stuck"}, "reply": {"text": ["a "], "fault": {"kind": "hang", "after": 1}}}]
    with scripted(rules) as (client, _), open_socket(client) as socket:
        socket.create(input="stuck")
        for _ in range(1026):
            socket.create(input="x")
        while (message := socket.receive())["type"] != "error":
            pass
        assert message["status"] == 429 and message["error"]["code"] == "websocket_queue_limit_reached"


@pytest.mark.ledger("websocket:slow_reader")
def test_a_client_that_does_not_read_holds_nobody_up_and_little_memory() -> None:
    rules = [{"when": {"contains": "flood"}, "reply": {"text": ["x" * 100_000] * 400, "delay": 0.05}}]
    with scripted(rules) as (client, upstream):
        with bare(client.base_url.port) as connection:
            for lane in range(4):
                said = {
                    "type": "response.create",
                    "model": "m",
                    "input": "flood",
                    "stream_id": f"{lane}",
                    "store": False,
                }
                connection.sendall(frame(json.dumps(said)))
            began = time.monotonic()
            for number in range(20):
                assert client.responses.create(model="m", input=f"{number}").status == "completed"
            assert time.monotonic() - began < 20
            assert client._client.get(f"{upstream.url}/requests").json()["disconnects"] == 0
        deadline = time.monotonic() + 15
        while client._client.get(f"{upstream.url}/requests").json()["disconnects"] < 4:
            assert time.monotonic() < deadline, "turns outlived their client"
            time.sleep(0.05)
