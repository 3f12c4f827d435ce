"""An OpenAI-compatible server that plays a script: `python -m onward.testing.upstream --port 9000 --script
replies.json`.

`POST /v1/chat/completions` (streamed and not), `GET /v1/models`, `GET /requests` (what was received), `DELETE
/requests`. The chat route is plain ASGI, because it also serves as the upstream of benchmarks.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from onward.testing.encode import DONE, encode_chunks, encode_completion
from onward.testing.replies import default_reply
from onward.testing.script import Fault, Player, Prompt, Reply, Script

RECORD_LIMIT: Final = 1000
"""Requests that are remembered."""

_encode = msgspec.json.Encoder().encode
_read_prompt = msgspec.json.Decoder(Prompt).decode
_JSON: Final = [(b"content-type", b"application/json")]
_STREAM: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Received(msgspec.Struct, frozen=True):
    """A request as it came. `closed` tells whether the client went away before the end of the reply."""

    path: str
    headers: dict[str, str]
    body: Raw


class ScriptedApp:
    """The ASGI application. `requests` are the received ones, oldest first; `disconnects` counts clients that left
    early."""

    def __init__(self, script: Script | None = None) -> None:
        self.requests: deque[Received] = deque(maxlen=RECORD_LIMIT)
        self.disconnects = 0
        self._player = Player(script or Script())
        self._number = 0
        self._app = Starlette(
            routes=[
                Route("/v1/chat/completions", _ChatRoute(self)),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/requests", self._recorded, methods=["GET", "DELETE"]),
            ]
        )

    def play(self, script: Script) -> None:
        """Begin another script."""
        self._player = Player(script)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a chat completion request."""
        body = await _read_body(receive)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._number += 1
        try:
            prompt = _read_prompt(body)
        except msgspec.DecodeError as error:
            message = {"error": {"message": str(error), "type": "invalid_request_error", "param": None, "code": None}}
            await _send_whole(send, 400, _JSON, _encode(message))
            return
        self.requests.append(Received(scope["path"], headers, Raw(body)))
        reply = self._player.find(prompt) or default_reply(prompt)
        fault = reply.fault
        if fault is not None and fault.kind == "status":
            await _send_status(send, fault)
        elif prompt.stream:
            chunks = encode_chunks(reply, prompt, number=self._number)
            await self._stream(chunks, reply, receive, send)
        else:
            await self._send_completion(encode_completion(reply, prompt, number=self._number), reply, send)

    async def _send_completion(self, body: bytes, reply: Reply, send: Send) -> None:
        if reply.delay:
            await asyncio.sleep(reply.delay)
        fault = reply.fault
        if fault is None:
            await _send_whole(send, 200, _JSON, body)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _JSON})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        if fault.kind == "hang":
            await asyncio.Event().wait()
        if fault.kind == "malformed":
            await send({"type": "http.response.body", "body": b"}{", "more_body": False})

    async def _stream(self, chunks: Sequence[bytes], reply: Reply, receive: Receive, send: Send) -> None:
        """Write the chunks until the end, a fault, or the client is gone."""
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        if not reply.delay and reply.fault is None:
            await self._burst(chunks, reply, send)
            return
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(_until_gone(receive))
            writing = group.create_task(self._write_slowly(chunks, reply, send))
            await asyncio.wait((gone, writing), return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                self.disconnects += 1
            gone.cancel()
            writing.cancel()

    async def _burst(self, chunks: Sequence[bytes], reply: Reply, send: Send) -> None:
        step = max(1, reply.burst)
        for start in range(0, len(chunks), step):
            block = b"".join(chunks[start : start + step])
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    async def _write_slowly(self, chunks: Sequence[bytes], reply: Reply, send: Send) -> None:
        fault = reply.fault
        last = len(chunks) if fault is None else min(fault.after + 1, len(chunks))
        loop = asyncio.get_running_loop()
        due = loop.time()
        for chunk in chunks[:last]:
            due += reply.delay
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if fault is not None:
            await _fail(fault, send)
            return
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    async def _models(self, _: Request) -> Response:
        data = [
            {"id": name, "object": "model", "created": 1700000000, "owned_by": "script"}
            for name in self._player.script.models
        ]
        return Response(_encode({"object": "list", "data": data}), media_type="application/json")

    async def _recorded(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.requests.clear()
            self.disconnects = 0
        body = {"data": list(self.requests), "disconnects": self.disconnects}
        return Response(_encode(body), media_type="application/json")


class _ChatRoute:
    """An ASGI application of its own, so that no request object is built for it."""

    def __init__(self, app: ScriptedApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app.answer(scope, receive, send)


async def _read_body(receive: Receive) -> bytes:
    blocks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        blocks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(blocks)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers + length})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_status(send: Send, fault: Fault) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
    known = {name for name, _ in headers}
    message = f"Scripted status {fault.status}."
    default = {"error": {"message": message, "type": "scripted", "param": None, "code": None}}
    body = bytes(fault.body) if fault.body is not UNSET else _encode(default)
    await _send_whole(send, fault.status, headers if b"content-type" in known else _JSON + headers, body)


async def _fail(fault: Fault, send: Send) -> None:
    """Do what the fault says; returning without an end of the body makes the server cut the connection."""
    match fault.kind:
        case "hang":
            await asyncio.Event().wait()
        case "malformed":
            await send({"type": "http.response.body", "body": b'data: {"choices": [{"del\n\n', "more_body": False})
        case "error":
            body = bytes(fault.body) if fault.body is not UNSET else b'{"message":"Scripted error.","code":500}'
            await send({"type": "http.response.body", "body": b'data: {"error":%s}\n\n' % body, "more_body": False})
        case "endless":
            block = b"x" * 65536
            while True:
                await send({"type": "http.response.body", "body": block, "more_body": True})
                await asyncio.sleep(0)
        case "cut" | "status":
            pass
