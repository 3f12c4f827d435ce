"""The floor: Starlette, aiohttp and one SQLite row. It relays without parsing; nothing that keeps state can do less."""

import os
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder().encode


class Floor:
    """One pool of connections and one database."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(os.environ["FLOOR_DB"], isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS responses (id INTEGER PRIMARY KEY, body BLOB)")
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Hold the pool while the server runs."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4096)) as self._session:
            yield

    def _store(self, body: bytes) -> int | None:
        return self._database.execute("INSERT INTO responses (body) VALUES (?)", (body,)).lastrowid

    async def create(self, request: Request) -> Response:
        """Relay one turn and store one row."""
        body = _decode(await request.body())
        stream = body.get("stream") is True
        asked = {"model": "m", "messages": [{"role": "user", "content": body["input"]}], "stream": stream}
        assert self._session is not None
        answer = await self._session.post(f"{os.environ['UPSTREAM']}/chat/completions", data=_encode(asked))
        if stream:
            return StreamingResponse(self._relay(answer), media_type="text/event-stream")
        async with answer:
            whole = _decode(await answer.read())
        stored = _encode({"object": "response", "created_at": time.time(), "answer": whole})
        self._store(stored)
        return Response(stored, media_type="application/json")

    async def _relay(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        kept: list[bytes] = []
        async with answer:
            async for chunk in answer.content.iter_any():
                kept.append(chunk)
                yield chunk
        self._store(b"".join(kept))


floor = Floor()
app = Starlette(routes=[Route("/v1/responses", floor.create, methods=["POST"])], lifespan=floor.lifespan)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="error", access_log=False)
