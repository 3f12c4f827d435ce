"""The embedded model: a child process with the weights, used through the ordinary chat completions adapter.

It starts with the first call and gives its memory back when nobody calls. A crash there (out of memory, a broken
file) is an upstream error of the calls in flight; the next call starts it again. Must not load the native library
itself.
"""

import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from onward.core.errors import OnwardError, UpstreamError, UpstreamUnavailable
from onward.core.items import Item
from onward.models.chat_completions import ChatModel, Connections, Endpoint, Retries, Timeouts, Upstream
from onward.models.chat_completions.render import render_items
from onward.models.chat_completions.request import offered_tools
from onward.models.profiles import EMBEDDED, Profile
from onward.models.runtime import RuntimeReady, RuntimeSettings
from onward.ports.model import Capabilities, ModelEvent, ModelRequest

_LOAD_SECONDS = 180.0
_STOP_SECONDS = 5.0
_TIMEOUTS = Timeouts(first_byte=900.0, idle=180.0)
"""On two cores a long prompt takes minutes, and calls wait for one another."""


class ModelChild:
    """The process of one embedded model. `idle_unload` in seconds; `threads` None means physical cores."""

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        connections: Connections,
        profile: Profile = EMBEDDED,
        threads: int | None = None,
        idle_unload: float = 600.0,
    ) -> None:
        self.name = name
        self.profile = profile
        self._path = path
        self._connections = connections
        self._threads = threads
        self._idle_unload = idle_unload
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._upstream: Upstream | None = None
        self._errors: IO[bytes] | None = None
        self._active = 0
        self._unloading: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def acquire(self) -> Upstream:
        """Return the upstream of the running process, started if it is not; pair with `release`.

        Raises UpstreamUnavailable where it does not start.
        """
        self._active += 1
        try:
            async with self._lock:
                if self._unloading is not None:
                    self._unloading.cancel()
                    self._unloading = None
                if self.pid is None or self._upstream is None:
                    await self._stop()
                    self._upstream = await self._start()
                return self._upstream
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Tell that a call is over; the last one begins the idle time."""
        self._active -= 1
        if self._active == 0 and self.pid is not None:
            if self._unloading is not None:
                self._unloading.cancel()
            self._unloading = asyncio.get_running_loop().call_later(self._idle_unload, self._unload)

    def explain(self, error: OnwardError) -> OnwardError:
        """Return what to say of a fault of a call: a crash where the process is gone."""
        if self.pid is not None or not isinstance(error, UpstreamError):
            return error
        return UpstreamError(
            f"The embedded model '{self.name}' ended unexpectedly ({self._ending()}). "
            "It starts again with the next call.",
            code="local_model_crashed",
        )

    async def settle(self) -> None:
        """Give a process that closed its connections a moment to be seen as ended."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 0.5)

    async def aclose(self) -> None:
        """End the process."""
        async with self._lock:
            if self._unloading is not None:
                self._unloading.cancel()
                self._unloading = None
            await self._stop()

    async def _start(self) -> Upstream:
        key = secrets.token_urlsafe(24)
        settings = RuntimeSettings(
            path=str(self._path),
            name=self.name,
            api_key=key,
            context=self.profile.capabilities.context_window or 4096,
            threads=self._threads or physical_cores(),
        )
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "onward.models.runtime",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(settings) + b"\n")
            line = await asyncio.wait_for(process.stdout.readline(), _LOAD_SECONDS)
            address = msgspec.json.decode(line, type=RuntimeReady).address
        except (TimeoutError, OSError, msgspec.DecodeError) as error:
            await self.settle()
            reason = self._ending() if self.pid is None else f"it did not load in {_LOAD_SECONDS:.0f} seconds"
            await self._stop()
            raise UpstreamUnavailable(
                f"The embedded model '{self.name}' did not start: {reason}.", code="local_model_unavailable"
            ) from error
        except BaseException:
            process.kill()
            raise
        endpoint = Endpoint(
            base_url=f"{address}/v1",
            label="embedded",
            kind="embedded",
            api_key=key,
            timeouts=_TIMEOUTS,
            retries=Retries(limit=0),
        )
        return Upstream(endpoint, self._connections)

    async def _stop(self) -> None:
        process, self._process, self._upstream = self._process, None, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def _unload(self) -> None:
        """Close the process's input, on which it ends by itself; the next call clears up and starts anew."""
        self._unloading = None
        if self._active == 0 and self._process is not None and self._process.stdin is not None:
            self._upstream = None
            self._process.stdin.close()

    def _ending(self) -> str:
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "no reason given"
        how = f"signal {-code}" if code < 0 else f"status {code}"
        if code == -9:
            how += ", perhaps for lack of memory"
        return f"{how}{self._last_error()}"

    def _last_error(self) -> str:
        if self._errors is None:
            return ""
        size = os.fstat(self._errors.fileno()).st_size
        tail = os.pread(self._errors.fileno(), 2000, max(0, size - 2000)).decode("utf-8", "replace")
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        return f"; it said: {lines[-1]}" if lines else ""


class LocalModel:
    """The embedded model as the `Model` port."""

    def __init__(self, child: ModelChild) -> None:
        self._child = child

    @property
    def name(self) -> str:
        """The name of the weights."""
        return self._child.name

    @property
    def upstream(self) -> str:
        """The name of the upstream: the process beside the server."""
        return "embedded"

    @property
    def capabilities(self) -> Capabilities:
        return self._child.profile.capabilities

    def render(self, items: Sequence[Item]) -> bytes:
        """Return the messages of `items`. Raises RequestError for content that this model cannot take."""
        return render_items(items, self._child.profile)

    def call(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """Call the model, starting its process if need be; see the port. Raises RequestError at once."""
        offered_tools(request, self._child.profile)
        return LocalCall(self._child, request)


class LocalCall(AbstractAsyncContextManager["LocalCall"]):
    """One call, for which the process is kept."""

    def __init__(self, child: ModelChild, request: ModelRequest) -> None:
        self._child = child
        self._request = request
        self._context: AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]] | None = None
        self._batches: AsyncIterator[Sequence[ModelEvent]] | None = None

    async def __aenter__(self) -> Self:
        upstream = await self._child.acquire()
        try:
            model = ChatModel(self._child.name, upstream=upstream, profile=self._child.profile)
            self._context = model.call(self._request)
            self._batches = await self._context.__aenter__()
        except BaseException as error:
            self._child.release()
            raise await self._explained(error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._context is not None
        try:
            await self._context.__aexit__(kind, error, trace)
        finally:
            self._child.release()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[ModelEvent]:
        assert self._batches is not None
        try:
            return await self._batches.__anext__()
        except OnwardError as error:
            raise await self._explained(error) from error

    async def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, UpstreamError):
            return error
        await self._child.settle()
        return self._child.explain(error)


def physical_cores() -> int:
    """Return the physical cores that this process may use, at least one."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    siblings: set[str] = set()
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        with contextlib.suppress(OSError):
            siblings.add(path.read_text().strip())
    if not siblings and sys.platform == "darwin":
        return max(1, allowed // 2) if allowed > 8 else allowed
    return max(1, min(allowed, len(siblings) or allowed))
