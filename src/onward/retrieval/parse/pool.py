"""A small pool of parser processes: each runs one file at a time and is killed when it goes beyond a limit.

It knows no file format.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

import onward
from onward.ports.parse import Document, ParseError, Parser, Prepared, Recipe
from onward.retrieval.chunk import check_recipe
from onward.retrieval.parse.child import LENGTH, Outcome, Task


class ParseLimits(msgspec.Struct, frozen=True):
    """Limits of one child: bytes of address space and of its answer, seconds of processor and of wall time."""

    memory: int = 2 * 1024**3
    output: int = 400 * 1024**2
    cpu_seconds: int = 120
    wall_seconds: float = 300.0
    tasks: int = 100


class _Child:
    """One process and how many tasks it has done; a killed one is never used again."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.tasks = 0

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()

    async def exchange(self, task: Task, limit: int) -> Outcome:
        assert self.process.stdin is not None and self.process.stdout is not None
        body = msgspec.msgpack.encode(task)
        self.process.stdin.write(LENGTH.pack(len(body)) + body)
        await self.process.stdin.drain()
        (length,) = LENGTH.unpack(await self.process.stdout.readexactly(LENGTH.size))
        if length > limit:
            raise ParseError("invalid_file", "The file's text is too large to be searched.")
        answer = await self.process.stdout.readexactly(length)
        self.tasks += 1
        return await asyncio.to_thread(msgspec.msgpack.decode, answer, type=Outcome)


class ParserPool(Parser):
    """Parses in child processes, at most ``size`` at once; a child starts with the first file and rests when idle."""

    def __init__(self, *, size: int = 2, limits: ParseLimits | None = None, idle_seconds: float = 30.0) -> None:
        self._limits = limits or ParseLimits()
        self._slots = asyncio.Semaphore(size)
        self.idle: list[_Child] = []
        self._idle_seconds = idle_seconds
        self._expiry: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def parse(self, path: Path, *, filename: str, media_type: str | None = None) -> Document:
        """Return a file's text; raises ParseError."""
        outcome = await self._run(path, filename, media_type, None)
        if outcome.document is None:
            raise ParseError(outcome.code or "server_error", outcome.message)
        return outcome.document

    async def prepare(
        self, path: Path, *, filename: str, media_type: str | None = None, recipe: Recipe | None = None
    ) -> Prepared:
        """Return a file's text and chunks; raises ParseError, and ValueError for a recipe outside its limits."""
        recipe = recipe or Recipe()
        check_recipe(recipe)
        outcome = await self._run(path, filename, media_type, recipe)
        if outcome.prepared is None:
            raise ParseError(outcome.code or "server_error", outcome.message)
        return outcome.prepared

    async def aclose(self) -> None:
        """End all children."""
        if self._expiry is not None:
            self._expiry.cancel()
        children, self.idle = self.idle, []
        for child in children:
            await child.kill()
        await asyncio.gather(*self._ending)

    async def _run(self, path: Path, filename: str, media_type: str | None, recipe: Recipe | None) -> Outcome:
        limits = self._limits
        task = Task(str(path), filename, media_type, recipe, limits.cpu_seconds)
        async with self._slots, self._child() as child:
            try:
                async with asyncio.timeout(limits.wall_seconds):
                    return await child.exchange(task, limits.output)
            except TimeoutError:
                message = f"The file could not be read within {limits.wall_seconds:.0f} seconds."
                raise ParseError("invalid_file", message) from None
            except (asyncio.IncompleteReadError, ConnectionError):
                raise ParseError("invalid_file", await self._epitaph(child)) from None

    async def _epitaph(self, child: _Child) -> str:
        code = await child.process.wait()
        if code == -24:
            return f"The file could not be read within {self._limits.cpu_seconds} seconds of processor time."
        return "The file needs more memory than a document should, or is damaged so that its reader failed."

    @contextlib.asynccontextmanager
    async def _child(self) -> AsyncGenerator[_Child]:
        child = self.idle.pop() if self.idle else await self._start()
        whole = False
        try:
            yield child
            whole = child.tasks < self._limits.tasks and child.process.returncode is None
        finally:
            if whole:
                self.idle.append(child)
                self._rest()
            else:
                await asyncio.shield(child.kill())

    async def _start(self) -> _Child:
        source = str(Path(onward.__file__).parents[1])
        inherited = os.environ.get("PYTHONPATH")
        environment = {
            "PYTHONPATH": f"{source}{os.pathsep}{inherited}" if inherited else source,
            "PATH": os.environ.get("PATH", ""),
            "MALLOC_ARENA_MAX": "2",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "onward.retrieval.parse.child", str(self._limits.memory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            limit=1 << 20,
        )
        return _Child(process)

    def _rest(self) -> None:
        """End idle children after a while, so that a server at rest holds no parser's memory."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire)

    def _expire(self) -> None:
        children, self.idle = self.idle, []
        for child in children:
            task = asyncio.get_running_loop().create_task(child.kill())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
