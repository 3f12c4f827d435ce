"""Server-sent events as plain ASGI: headers with the first frame, comments while a model is silent, disconnects.

Nothing is sent before the first frame, so that a turn that fails early is still an ordinary HTTP error.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEEP_ALIVE_SECONDS: Final = 15.0
WATCH_AFTER_SECONDS: Final = 0.05
"""A turn that ends sooner is not watched: nobody gains by ending it a moment earlier."""
KEEP_ALIVE: Final = b": keep-alive\n\n"

HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)

Write = Callable[[bytes], Awaitable[None]]


class EventStream(Response):
    """Runs `produce(write)`; every write is one or more whole frames.

    `grace` is how many seconds the producer goes on after the client went away; None lets it run to its end.
    """

    def __init__(self, produce: Callable[[Write], Awaitable[None]], *, grace: float | None = 0.0) -> None:
        super().__init__()
        self._produce = produce
        self._grace = grace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def write(frames: bytes) -> None:
            nonlocal started
            if not started:
                started = True
                await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await send({"type": "http.response.body", "body": frames, "more_body": True})

        async def keep_alive() -> None:
            if started:
                await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})

        gone = await run_attached(self._produce(write), receive, grace=self._grace, idle=keep_alive)
        if started and not gone:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def run_attached(
    work: Awaitable[None],
    receive: Receive,
    *,
    grace: float | None,
    idle: Callable[[], Awaitable[None]] | None = None,
) -> bool:
    """Await `work` and cancel it `grace` seconds after the client has gone; return whether it was cancelled so.

    `idle` is called every KEEP_ALIVE_SECONDS while the client is there.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        await _client_gone(receive, idle)
        if grace is None:
            return
        if grace:
            await asyncio.sleep(grace)
        gone = True
        task.cancel()

    watcher: asyncio.Future[None] | None = None

    def begin_watching() -> None:
        nonlocal watcher
        watcher = asyncio.ensure_future(watch())

    starting = task.get_loop().call_later(WATCH_AFTER_SECONDS, begin_watching)
    try:
        await work
    except asyncio.CancelledError:
        if not gone or task.uncancel() > 0:
            raise
        return True
    finally:
        starting.cancel()
        if watcher is not None:
            watcher.cancel()
    return False


async def _client_gone(receive: Receive, idle: Callable[[], Awaitable[None]] | None) -> None:
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                message = await receive()
        except TimeoutError:
            if idle is not None:
                await idle()
            continue
        if message["type"] == "http.disconnect":
            return
