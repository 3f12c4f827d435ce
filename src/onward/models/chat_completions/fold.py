"""Chunks → model events: one delta for each chunk that carries something, never merged.

This runs once for every token: it reads attributes and appends, nothing else. It must not know bytes or HTTP.
"""

from typing import Final

from msgspec import UNSET

from onward.core.errors import OnwardError, UpstreamError
from onward.models.chat_completions.calls import CallAssembler
from onward.models.chat_completions.faults import stream_fault
from onward.models.chat_completions.wire import Choice, Chunk, Delta, WireUsage, to_usage
from onward.ports.model import (
    Finished,
    FinishReason,
    ModelEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Used,
)

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ChunkFold:
    """Folds the chunks of one answer. `finished` is set once the upstream gave a finish reason; `fault` by a chunk that
    carries an error, after which nothing is read: the events before it still count.
    """

    def __init__(self) -> None:
        self.finished = False
        self.fault: OnwardError | None = None
        self._calls = CallAssembler()
        self._usage: WireUsage | None = None

    def feed(self, chunks: list[Chunk]) -> list[ModelEvent]:
        """Return the events of `chunks`."""
        events: list[ModelEvent] = []
        append = events.append
        for chunk in chunks:
            choices = chunk.choices
            if choices:
                choice = choices[0]
                delta = choice.delta
                if delta is not None:
                    if text := delta.content:
                        append(TextDelta(text))
                    if delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.refusal:
                        self._add_rest(delta, events)
                elif choice.message is not None:
                    self._add_message(choice.message, events)
                if choice.finish_reason is not None and not self.finished:
                    self._add_finish(choice, events)
            if chunk.usage is not None:
                self._usage = chunk.usage
            if chunk.error is not UNSET and bytes(chunk.error) != b"null":
                self.fault = stream_fault(bytes(chunk.error))
                break
        return events

    def finish(self, *, done: bool) -> list[ModelEvent]:
        """Return the events at the end of the stream; `done`: the upstream said so. Raises UpstreamError for a cut
        stream."""
        events: list[ModelEvent] = []
        if not self.finished:
            if not done:
                raise UpstreamError("The model's server ended the answer before it was complete.", code="upstream_cut")
            self.finished = True
            events.append(Finished("tool_calls" if self._calls.count else "stop"))
        if self._usage is not None:
            events.append(Used(to_usage(self._usage)))
        return events

    def _add_message(self, message: Delta, events: list[ModelEvent]) -> None:
        self._add_rest(message, events, calls=False)
        if message.content:
            events.append(TextDelta(message.content))
        self._add_calls(message, events)

    def _add_rest(self, delta: Delta, events: list[ModelEvent], *, calls: bool = True) -> None:
        if reasoning := delta.reasoning_content or delta.reasoning:
            events.append(ReasoningDelta(reasoning))
        if delta.refusal:
            events.append(RefusalDelta(delta.refusal))
        if calls:
            self._add_calls(delta, events)

    def _add_calls(self, delta: Delta, events: list[ModelEvent]) -> None:
        for part in delta.tool_calls or ():
            event = self._calls.add(part)
            if event is not None:
                events.append(event)

    def _add_finish(self, choice: Choice, events: list[ModelEvent]) -> None:
        if choice.finish_reason == "error":
            self.fault = UpstreamError("The model's server broke off the answer with an error.", code="upstream_error")
            return
        if not choice.finish_reason:
            return
        reason = _REASONS.get(choice.finish_reason, "stop")
        if reason == "stop" and self._calls.count:
            reason = "tool_calls"
        self.finished = True
        events.append(Finished(reason))
