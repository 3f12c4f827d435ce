"""The client of the embedder's child process: lazy, multiplexed over one connection, healing.

It must not import a numeric library: vectors stay bytes here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec

from onward.ports.embed import Embedder, EmbedError, Lane, Vectors
from onward.retrieval.embed.asset import DIMENSIONS, MODEL
from onward.retrieval.embed.launch import Child
from onward.retrieval.embed.wire import Reply, Request, encode_frame, read_frame

START_TIMEOUT = 30.0
ATTEMPTS = 3
"""Sends of one request: a child that died is replaced, and embedding is repeatable."""


class _Lost(Exception):
    """The connection ended before the reply came."""


class _Connection:
    """One socket with the requests that wait on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._ids = itertools.count(1)
        self.alive = True
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))

    async def request(self, lane: Lane, texts: list[str]) -> Reply:
        number = next(self._ids)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            if not self.alive:
                raise _Lost
            self._writer.write(encode_frame(Request(number, lane, texts)))
            await self._writer.drain()
            return await future
        except ConnectionError as error:
            raise _Lost from error
        finally:
            self._waiting.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (body := await read_frame(reader)) is not None:
                reply = msgspec.msgpack.decode(body, type=Reply)
                future = self._waiting.get(reply.id)
                if future is not None and not future.done():
                    future.set_result(reply)
        finally:
            self.alive = False
            self._writer.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_Lost())


class LocalEmbedder(Embedder):
    """Embeds with the packaged model; the child starts with the first request and is shared by all processes."""

    def __init__(self, data: Path, *, linger: float | None = None) -> None:
        self._data = data
        self._linger = linger
        self._child: Child | None = None
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    @property
    def model(self) -> str:
        """Return the name of the packaged vector space."""
        return MODEL

    @property
    def dimensions(self) -> int:
        """Return the length of each vector."""
        return DIMENSIONS

    async def embed(self, texts: Sequence[str], *, lane: Lane) -> Vectors:
        """Return one unit vector a text; raises EmbedError when the child cannot be started or kept."""
        if not texts:
            return Vectors(0, DIMENSIONS, b"")
        for _ in range(ATTEMPTS):
            connection = await self._connect()
            try:
                reply = await connection.request(lane, list(texts))
            except _Lost:
                continue
            if reply.error is not None:
                raise EmbedError(f"The embedder failed: {reply.error}", retryable=False)
            return Vectors(len(texts), reply.dimensions, reply.data)
        raise EmbedError("The embedder's process keeps ending; see embedder.log in the data directory.")

    async def aclose(self) -> None:
        """Close the connection; the child ends when no process is connected."""
        async with self._connecting:
            if self._connection is not None:
                await self._connection.aclose()
                self._connection = None

    async def _connect(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.alive:
                self._connection = await self._open()
            return self._connection

    async def _open(self) -> _Connection:
        if self._child is None:
            self._child = Child(self._data, linger=self._linger)
        child = self._child
        delay = 0.01
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while True:
                    try:
                        reader, writer = await asyncio.open_unix_connection(child.socket, limit=1 << 20)
                        child.reap()
                        return _Connection(reader, writer)
                    except (FileNotFoundError, ConnectionError):
                        await asyncio.to_thread(child.ensure)
                    await asyncio.sleep(delay)
                    delay = min(delay * 1.5, 0.1)
        except TimeoutError:
            raise EmbedError(f"The embedder did not start within {START_TIMEOUT:.0f} s.") from None
