"""What a client that leaves, and a server that stops, do to the work of a request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from onward.api import sse
from onward.api.sse import EventStream, run_attached

pytestmark = pytest.mark.anyio


class Client:
    """A connection: `leave` is the client going away; `sent` what it was sent."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


class Work:
    """Work that lasts until `finish`, and notes how it ended."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()
        self.ended = ""

    async def run(self) -> None:
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # what a turn does to end its run
            self.ended = "cancelled"
            raise
        self.ended = "finished"


async def ticks(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_client_that_leaves_cancels_the_work_and_nothing_else() -> None:
    client, work = Client(), Work()

    async def handle() -> str:
        gone = await run_attached(work.run(), client.receive, grace=0.0)
        await asyncio.sleep(0)  # a cancellation that was left over would strike here
        return f"{gone} {asyncio.current_task().cancelling()}"  # type: ignore[union-attr]

    task = asyncio.create_task(handle())
    await ticks()
    client.left.set()
    assert await task == "True 0" and work.ended == "cancelled"


@pytest.mark.parametrize("grace", [None, 60.0])
async def test_work_goes_on_without_its_client(grace: float | None) -> None:
    client, work = Client(), Work()
    task = asyncio.create_task(run_attached(work.run(), client.receive, grace=grace))
    await ticks()
    client.left.set()
    await ticks()
    work.finish.set()
    assert await task is False and work.ended == "finished"


@pytest.mark.parametrize("left", [False, True])
async def test_a_server_that_stops_cancels_with_or_without_a_client(left: bool) -> None:
    client, work = Client(), Work()
    task = asyncio.create_task(run_attached(work.run(), client.receive, grace=None if left else 0.0))
    await ticks()
    if left:
        client.left.set()
        await ticks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended == "cancelled"


async def test_a_cancellation_of_the_server_outlives_that_of_the_client() -> None:
    client, work = Client(), Work()
    task = asyncio.create_task(run_attached(work.run(), client.receive, grace=0.0))
    await ticks()
    client.left.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_silent_stream_is_kept_alive_by_comments_once_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.001)
    client, begin, finish = Client(), asyncio.Event(), asyncio.Event()

    async def produce(write: Callable[[bytes], Awaitable[None]]) -> None:
        await begin.wait()
        await write(b"data: 1\n\n")
        await finish.wait()

    async def kept(count: int) -> None:
        while sum(one.get("body") == sse.KEEP_ALIVE for one in client.sent) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    task = asyncio.create_task(EventStream(produce)({"type": "http"}, client.receive, client.send))
    await ticks(50)
    assert client.sent == []
    begin.set()
    async with asyncio.timeout(10):
        await kept(2)
    finish.set()
    await task
    assert client.sent[0]["type"] == "http.response.start" and client.sent[1]["body"] == b"data: 1\n\n"
    assert client.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
