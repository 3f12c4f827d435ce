"""The parts of a WebSocket by themselves: its time limit, clients that stall, lanes, memory, wire."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from onward.api.responses.socket import Responses
from onward.api.responses.socket_lanes import Lanes, Limits
from onward.api.responses.socket_memory import Memory, Remembered, continuable
from onward.api.responses.socket_wire import Create, ending_of, event_message, read_message
from onward.core.errors import RateLimitError, RequestError
from onward.core.items import Item


class Client:
    """The other side of an endpoint: what it gets to receive, and what it sent. It may stop taking messages."""

    def __init__(self, *messages: str, takes: int = 1000) -> None:
        self._messages = list(messages)
        self._takes = takes
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        if not self.sent:
            return {"type": "websocket.connect"}
        if self._messages:
            return {"type": "websocket.receive", "text": self._messages.pop(0)}
        return await asyncio.get_running_loop().create_future()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            if not self._takes:
                await asyncio.get_running_loop().create_future()
            self._takes -= 1
        self.sent.append(message)

    async def meet(self, endpoint: Responses) -> None:
        services = type("Services", (), {"disconnect_grace": 0.0})()
        scope: dict[str, Any] = {"type": "websocket", "headers": [], "path": "/v1/responses"}
        scope |= {"onward.services": services, "onward.project": None}
        await endpoint(scope, self.receive, self.send)


@pytest.mark.ledger("websocket:time_limit")
def test_a_connection_ends_after_its_time_with_a_reason() -> None:
    client = Client()
    asyncio.run(client.meet(Responses(Limits(seconds=0.01))))
    accepted, said, closed = client.sent
    assert accepted["type"] == "websocket.accept" and closed == {"type": "websocket.close", "code": 1001, "reason": ""}
    error = json.loads(said["text"])
    assert error["type"] == "error" and error["status"] == 400
    assert error["error"]["code"] == "websocket_connection_limit_reached" and "60 minutes" in error["error"]["message"]
    assert Limits().seconds == 3600


@pytest.mark.ledger("websocket:slow_reader")
def test_a_client_that_takes_nothing_for_too_long_loses_its_connection() -> None:
    client = Client("{", "{", "{", takes=1)
    asyncio.run(asyncio.wait_for(client.meet(Responses(Limits(stalled_seconds=0.01))), 10))
    assert [message["type"] for message in client.sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert client.sent[-1]["code"] == 1013


def message(lane: str | None, text: str = "x") -> Create:
    return Create(lane, True, text.encode())


def run_lanes(limits: Limits, work: Callable[[Lanes, list[str], asyncio.Event], Awaitable[None]]) -> list[str]:
    """Run lanes whose answers note a message and then wait for the event."""

    async def run() -> list[str]:
        noted: list[str] = []
        go = asyncio.Event()

        async def answer(one: Create) -> None:
            noted.append(one.body.decode())
            await go.wait()

        async with asyncio.TaskGroup() as tasks:
            await work(Lanes(tasks, answer, limits), noted, go)
        return noted

    return asyncio.run(asyncio.wait_for(run(), 10))


async def rounds() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.ledger("websocket:lanes", "websocket:limits")
def test_one_turn_of_a_lane_runs_and_so_many_in_all() -> None:
    async def work(lanes: Lanes, noted: list[str], go: asyncio.Event) -> None:
        for lane in ("a", "b", "c"):
            for number in (1, 2):
                lanes.put(message(lane, f"{lane}{number}"))
        await rounds()
        assert noted == ["a1", "b1"]
        go.set()

    assert sorted(run_lanes(Limits(in_flight=2), work)) == ["a1", "a2", "b1", "b2", "c1", "c2"]


@pytest.mark.ledger("websocket:limits")
def test_waiting_messages_are_bounded_in_number_and_bytes_and_make_room_again() -> None:
    async def work(lanes: Lanes, noted: list[str], go: asyncio.Event) -> None:
        lanes.put(message(None, "one"))
        await rounds()
        lanes.put(message(None, "two"))
        for body in ("three", "x" * 100):
            with pytest.raises(RateLimitError):
                lanes.put(message(None, body))
        go.set()
        await rounds()
        lanes.put(message(None, "x" * 100))  # alone it may be as large as a message may be

    assert len(run_lanes(Limits(waiting=1, waiting_bytes=50), work)) == 3
    assert len(run_lanes(Limits(waiting=9, waiting_bytes=7), work)) == 3


@pytest.mark.ledger("websocket:disconnect")
def test_at_the_end_what_waits_is_dropped_and_what_runs_is_cancelled() -> None:
    async def work(lanes: Lanes, noted: list[str], go: asyncio.Event) -> None:
        for lane in ("a", "b"):
            lanes.put(message(lane, lane))
            lanes.put(message(lane, "later"))
        await rounds()
        await lanes.end(0.0)

    assert run_lanes(Limits(in_flight=1), work) == ["a"]


def remembered(name: str, size: int = 1) -> Remembered:
    return Remembered(name, None, (Item("msg_1", "message", b"x" * size),))


@pytest.mark.ledger("websocket:unstored")
def test_the_memory_of_a_connection_is_bounded_and_the_oldest_goes_first() -> None:
    memory = Memory(limit=100)
    memory.keep("a", remembered("one", 50))
    memory.keep("b", remembered("two", 40))
    memory.keep("a", remembered("three", 50))
    assert memory.find("one") is None and memory.find("two") is not None
    memory.keep("c", remembered("four", 40))
    assert memory.find("two") is None and memory.find("three") is not None and memory.find("four") is not None
    memory.keep("d", remembered("huge", 101))
    assert memory.find("huge") is None and memory.find("four") is not None and memory.find(None) is None


def item(name: str, kind: str, status: str = "completed", call_id: str | None = None) -> Item:
    body = json.dumps({"id": name, "type": kind, "status": status}).encode()
    return Item(name, kind, body, "assistant" if kind == "message" else None, call_id)


def test_what_was_cut_short_is_no_context_of_the_next_turn() -> None:
    output = (
        item("rs_1", "reasoning"),
        item("fc_1", "function_call", call_id="c1"),
        item("rs_2", "reasoning"),
        item("fc_2", "function_call", "incomplete", "c2"),
    )
    assert [one.id for one in continuable(output)] == ["rs_1", "fc_1"]
    assert continuable((item("rs_1", "reasoning"),)) == ()
    assert len(continuable((item("rs_1", "reasoning"), item("msg_1", "message")))) == 2


def test_frames_become_messages_of_their_lane() -> None:
    frame = b'event: x\ndata: {"type":"x","delta":"a\\ndata: b"}\n\n'
    assert json.loads(event_message(frame, ending_of(None))) == {"type": "x", "delta": "a\ndata: b"}
    told = json.loads(event_message(frame, ending_of('"q"')))
    assert told == {"type": "x", "delta": "a\ndata: b", "stream_id": '"q"'}


def test_what_no_client_may_say_is_refused() -> None:
    for wrong in ("{}", '{"type":"x"}', '{"type":"response.create","stream_id":""}', "[", "3"):
        with pytest.raises(RequestError):
            read_message(wrong.encode())
