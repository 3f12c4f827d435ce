"""The embedder's child process: one model for all web processes of a data directory, behind a Unix socket.

It lives while a client is connected and ends by itself when none has been for a while; a file lock makes it
the only one.
Run as ``python -m onward.retrieval.embed.server SOCKET LOCK``. Exit code 3 says that another one runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from pathlib import Path
from typing import IO

import msgspec

from onward.retrieval.embed.wire import Reply, Request, encode_frame, read_frame

LINGER = 10.0
"""Seconds without a client before the process ends."""
ALREADY_RUNNING = 3


class Server:
    """Serves embedding requests; replies come in the order in which they are done."""

    def __init__(self, *, linger: float = LINGER) -> None:
        from onward.retrieval.embed.lanes import Lanes
        from onward.retrieval.embed.session import Session

        self._lanes = Lanes(Session(), threads=os.cpu_count() or 1)
        self._linger = linger
        self._clients = 0
        self._idle: asyncio.TimerHandle | None = None
        self._done = asyncio.Event()

    async def serve(self, path: Path) -> None:
        """Listen at ``path`` until no client is left."""
        server = await asyncio.start_unix_server(self._client, path, limit=1 << 20)
        self._watch()
        try:
            await self._done.wait()
        finally:
            server.close()
            await asyncio.to_thread(self._lanes.close)

    def _watch(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._clients == 0:
            self._idle = asyncio.get_running_loop().call_later(self._linger, self._done.set)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        self._watch()
        try:
            async with asyncio.TaskGroup() as tasks:
                answers: set[asyncio.Task[None]] = set()
                while (body := await read_frame(reader)) is not None:
                    request = msgspec.msgpack.decode(body, type=Request)
                    task = tasks.create_task(self._answer(request, writer))
                    answers.add(task)
                    task.add_done_callback(answers.discard)
                for task in answers:
                    task.cancel()
        except* (ValueError, ConnectionError) as group:
            print(f"client dropped: {group.exceptions[0]}", file=sys.stderr)
        finally:
            writer.close()
            self._clients -= 1
            self._watch()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        try:
            future = await asyncio.to_thread(self._lanes.submit, request.texts, request.lane)
            vectors = await asyncio.wrap_future(future)
        except Exception as error:  # noqa: BLE001 - told to the client, which decides
            reply = Reply(request.id, 0, b"", f"{type(error).__name__}: {error}")
        else:
            dimensions = vectors[0].shape[0] if vectors else 0
            reply = Reply(request.id, dimensions, b"".join(vector.tobytes() for vector in vectors))
        writer.write(encode_frame(reply))
        await writer.drain()


def acquire(lock: Path) -> IO[str] | None:
    """Return the lock file, held for the life of the process, or None where another process holds it."""
    handle = lock.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def main(argv: list[str]) -> int:
    """Run the child process."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    socket, lock = Path(argv[0]), Path(argv[1])
    linger = float(argv[2]) if len(argv) > 2 else LINGER
    handle = acquire(lock)
    if handle is None:
        return ALREADY_RUNNING

    async def serve() -> None:
        await Server(linger=linger).serve(socket)

    os.umask(0o077)
    with contextlib.suppress(FileNotFoundError):
        socket.unlink()
    try:
        asyncio.run(serve())
    finally:
        with contextlib.suppress(FileNotFoundError):
            socket.unlink()
        handle.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
