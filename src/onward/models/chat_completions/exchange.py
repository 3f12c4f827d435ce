"""One HTTP exchange with an upstream: send, wait, try again where that is safe, read to the end, and let go at once.

It must not know what is asked: it is given the body and hands out batches of events.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
import msgspec

from onward.core.errors import OnwardError, RateLimitError, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from onward.models.chat_completions.endpoint import Quirks, Upstream, is_connect_fault, read_limited
from onward.models.chat_completions.faults import is_retriable, read_fault, status_fault
from onward.models.chat_completions.fold import ChunkFold
from onward.models.chat_completions.sse import ChunkReader
from onward.models.chat_completions.wire import Chunk, read_chunk
from onward.ports.model import ModelEvent

BODY_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of an answer that is not streamed."""

ERROR_LIMIT: Final = 64 * 1024
"""Bytes that are read of an error's body."""

_DRAIN_SECONDS: Final = 0.25
"""How long an upstream that said `[DONE]` may take to end its answer before its connection is given up."""


class EventReader(Protocol):
    """Turns events into others, such as text into calls."""

    def feed(self, events: Sequence[ModelEvent]) -> list[ModelEvent]: ...


class Watchdog:
    """Closes an answer whose deadline has passed. Moving the deadline costs an assignment, not a timer."""

    def __init__(self, answer: aiohttp.ClientResponse, *, until: float) -> None:
        self.expired = False
        self._loop = asyncio.get_running_loop()
        self._answer = answer
        self._end = until
        self._deadline = until
        self._timer = self._loop.call_at(until, self._check)

    def allow(self, seconds: float) -> None:
        """Let the answer take `seconds` from now until its next byte, never beyond its end."""
        self._deadline = min(self._end, self._loop.time() + seconds)
        if self._deadline < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._check)

    def stop(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def _check(self) -> None:
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check)
            return
        self.expired = True
        self._answer.close()


class Exchange(AbstractAsyncContextManager["Exchange"]):
    """The exchange as a context and an iterator of batches. Leaving the context closes the upstream connection."""

    def __init__(
        self, upstream: Upstream, build: Callable[[Quirks], bytes], *, stream: bool, reader: EventReader | None
    ) -> None:
        self._upstream = upstream
        self._build = build
        self._stream = stream
        self._reader = reader
        self._chunks = ChunkReader()
        self._fold = ChunkFold()
        self._answer: aiohttp.ClientResponse | None = None
        self._watchdog: Watchdog | None = None
        self._fault: OnwardError | None = None
        self._attempts = 0
        self._renewed = False
        self._relayed = False
        self._whole = False
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[ModelEvent]:
        while not self._ended:
            if self._fault is not None:
                raise self._fault
            events = await (self._read_whole() if self._whole else self._read())
            if self._reader is not None and events:
                events = self._reader.feed(events)
            if events:
                self._relayed = True
                return events
        if self._fault is not None:
            raise self._fault
        raise StopAsyncIteration

    async def _open(self) -> None:
        """Send the request until an answer begins. Raises the fault of the last attempt."""
        while True:
            fault, again = await self._attempt()
            if fault is None:
                return
            self._close()
            if not again or not await self._pause(fault):
                raise fault

    async def _pause(self, fault: OnwardError) -> bool:
        """Wait before the next attempt; False where there is none."""
        retries = self._upstream.endpoint.retries
        if self._attempts > retries.limit:
            # A client's retries would multiply with those made here. A 429 with its Retry-After is for the client.
            fault.final = retries.limit > 0 and not isinstance(fault, RateLimitError)
            return False
        seconds = fault.retry_after
        if seconds is None:
            seconds = retries.backoff * 2 ** (self._attempts - 1) * random.uniform(0.75, 1.25)
        if seconds > retries.longest_wait:
            return False
        await asyncio.sleep(seconds)
        return True

    async def _attempt(self) -> tuple[OnwardError | None, bool]:
        """Send the request once; return its fault and whether sending again may help."""
        self._attempts += 1
        endpoint = self._upstream.endpoint
        timeouts = endpoint.timeouts
        started = asyncio.get_running_loop().time()
        patience = min(timeouts.first_byte, timeouts.total) if self._stream else timeouts.total
        try:
            async with asyncio.timeout(patience):
                answer = self._answer = await self._upstream.post_chat(self._build(self._upstream.quirks))
                if answer.status != 200:
                    return await self._refused(answer)
        except (aiohttp.ClientError, OSError) as error:
            return self._unreached(error)
        self._whole = not self._stream or answer.content_type == "application/json"
        if self._whole and answer.content.is_eof():
            return None, False  # all of it is here: there is nothing to wait for
        self._watchdog = Watchdog(answer, until=started + timeouts.total)
        if self._stream:
            self._watchdog.allow(started + timeouts.first_byte - asyncio.get_running_loop().time())
        return None, False

    async def _refused(self, answer: aiohttp.ClientResponse) -> tuple[OnwardError, bool]:
        body = await read_limited(answer, ERROR_LIMIT)
        fault = status_fault(answer.status, answer.headers, body, upstream=self._upstream.endpoint.label)
        if answer.status in (400, 422) and self._upstream.quirks.learn(read_fault(body).text):
            self._attempts -= 1
            fault.retry_after = 0.0
            return fault, True
        return fault, is_retriable(answer.status)

    def _unreached(self, error: Exception) -> tuple[OnwardError, bool]:
        label = self._upstream.endpoint.label
        if is_connect_fault(error):
            url = self._upstream.endpoint.base_url
            return UpstreamUnavailable(
                f"The model's server '{label}' cannot be reached at {url}.", code="upstream_unreachable"
            ), True
        if isinstance(error, TimeoutError):
            return self._timeout(), False
        broken = UpstreamError(f"The connection to the model's server '{label}' broke.", code="upstream_cut")
        if not self._renewed:
            # Most likely a kept connection that the server had closed meanwhile: that is no fault of this request.
            self._renewed = True
            self._attempts -= 1
            broken.retry_after = 0.0
        return broken, True

    def _timeout(self) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"The model's server '{self._upstream.endpoint.label}' did not answer in time.", code="upstream_timeout"
        )

    async def _read(self) -> list[ModelEvent]:
        """Return the events of one read; an empty list where the stream ended or has to be opened again."""
        assert self._answer is not None
        assert self._watchdog is not None
        try:
            data = await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            return await self._lost(error)
        if self._chunks.done:
            self._ended = not data
            return []
        self._watchdog.allow(self._upstream.endpoint.timeouts.idle)
        if not data:
            return await self._at_end()
        events = self._feed(self._chunks.feed(data))
        if self._chunks.done and self._fault is None:
            events += self._fold.finish(done=True)
            self._watchdog.allow(_DRAIN_SECONDS)
        return events

    def _feed(self, chunks: list[Chunk]) -> list[ModelEvent]:
        events = self._fold.feed(chunks)
        self._fault = self._fold.fault or self._chunks.fault
        return events

    async def _at_end(self) -> list[ModelEvent]:
        events = self._feed(self._chunks.finish())
        if self._fault is not None:
            return events
        if not self._fold.finished and not self._chunks.done and not self._relayed and not events:
            return await self._lost(UpstreamError())
        try:
            events += self._fold.finish(done=self._chunks.done)
        except UpstreamError as fault:
            self._fault = fault
        self._ended = True
        return events

    async def _lost(self, error: Exception) -> list[ModelEvent]:
        """The connection is gone: end where the answer was complete, begin anew where nothing was relayed, else
        fail."""
        if self._chunks.done or self._fold.finished:
            self._ended = True
            return [] if self._chunks.done else self._fold.finish(done=True)
        if self._watchdog is not None and self._watchdog.expired:
            self._fault = self._timeout()
            return []
        fault = UpstreamError(
            "The model's server ended the answer before it was complete.", code="upstream_cut"
        ).with_traceback(error.__traceback__)
        self._close()
        if self._relayed or not await self._pause(fault):
            self._fault = fault
            return []
        self._chunks, self._fold = ChunkReader(), ChunkFold()
        await self._open()
        return []

    async def _read_whole(self) -> list[ModelEvent]:
        assert self._answer is not None
        try:
            body = await read_limited(self._answer, BODY_LIMIT)
        except (aiohttp.ClientError, OSError) as error:
            return await self._lost(error)
        self._ended = True
        try:
            completion = read_chunk.decode(body)
        except msgspec.DecodeError as error:
            raise UpstreamError(
                f"The model's server sent an answer that cannot be read: {error}", code="upstream_malformed"
            ) from error
        events = self._feed([completion])
        if self._fault is None and not completion.choices:
            raise UpstreamError("The model's server sent an answer without a choice.", code="upstream_malformed")
        return events + (self._fold.finish(done=True) if self._fault is None else [])

    def _close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.content.at_eof():
            answer.release()
        else:
            answer.close()
