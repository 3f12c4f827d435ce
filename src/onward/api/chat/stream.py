"""The pure fold from the events of a completion's turns to chunks. It renders; it does no input or output.

Every delta of the upstream is a chunk of its own. The choices of one completion share a stream: it ends with the last.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from onward.api.chat.view import Head, finish_reason, render_usage, total_usage, web_annotation
from onward.api.errors import error_body
from onward.core.errors import InternalError, OnwardError, RateLimitError, RequestError, UpstreamError
from onward.core.events import (
    Annotation,
    Delta,
    Event,
    ItemOpened,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
)
from onward.core.items import UrlCitation, encode
from onward.core.turns import RunError
from onward.core.usage import Usage

DONE: Final = b"data: [DONE]\n\n"
_FIELDS: Final = {"text": b"content", "refusal": b"refusal", "reasoning": b"reasoning_content"}
"""Channel → field of a delta. `reasoning_content` is a widespread extension."""


class _Choice:
    """One choice that is being written: its calls by output index, and where its messages begin in its content."""

    __slots__ = ("begun", "calls", "length", "offsets", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.begun = False
        self.calls: dict[int, int] = {}
        self.offsets: dict[int, int] = {}
        self.length = 0


class CompletionStream:
    """Turns the events of `choices` turns into bytes. `begun`: something was written; `broken`: an error ended it."""

    def __init__(self, head: Head, *, choices: int, include_usage: bool, obfuscate: bool) -> None:
        self._legacy = head.legacy
        self._head = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"service_tier":"default",'
            b'"system_fingerprint":null,"choices":['
        ) % (encode(head.id), int(head.created_at), encode(head.model))
        self._choices = [_Choice(self._head + b'{"index":%d,"delta":' % index) for index in range(choices)]
        self._include_usage = include_usage
        self._no_usage = b',"usage":null' if include_usage else b""
        self._padding = blake2b(head.id.encode(), digest_size=32).hexdigest().encode() if obfuscate else None
        self._number = 0
        self._usages: list[Usage] = []
        self.broken = False
        self.begun = False

    def frames(self, index: int, events: Sequence[Event]) -> bytes:
        """Return the frames of a batch of events of the choice `index`."""
        if self.broken:
            return b""
        out: list[bytes] = []
        choice = self._choices[index]
        for event in events:
            if isinstance(event, Delta):
                self._delta(choice, event, out)
            else:
                self._fold(choice, event, out)
        self.begun = self.begun or bool(out)
        return b"".join(out)

    def fault(self, error: OnwardError) -> bytes:
        """Return the frames that end a stream with an error."""
        if self.broken:
            return b""
        self.broken = True
        return b"data: %b\n\n%b" % (error_body(error), DONE)

    def _fold(self, choice: _Choice, event: Event, out: list[bytes]) -> None:
        match event:
            case TurnStarted():
                self._chunk(choice, b'{"role":"assistant","content":"","refusal":null}', out)
            case ItemOpened():
                self._opened(choice, event, out)
            case Annotation():
                self._annotation(choice, event, out)
            case TurnCompleted():
                self._ended(choice, finish_reason("completed", None, **self._calls(choice)), event.usage, out)
            case TurnIncomplete():
                reason = finish_reason("incomplete", event.reason, **self._calls(choice))
                self._ended(choice, reason, event.usage, out)
            case TurnFailed():
                out.append(self.fault(_fault_of(event.error)))
            case TurnCancelled():
                out.append(self.fault(RequestError("The completion was cancelled.", code="cancelled")))
            case _:
                pass  # progress of hosted tools, queues and items: not told in this dialect

    def _calls(self, choice: _Choice) -> dict[str, bool]:
        return {"calls": bool(choice.calls), "legacy": self._legacy}

    def _chunk(self, choice: _Choice, delta: bytes, out: list[bytes]) -> None:
        number = self._number
        self._number = number + 1
        if self._padding is None:
            pad = b""
        else:
            start = number % 48
            pad = b',"obfuscation":"%b"' % self._padding[start : start + 16 - len(delta) % 16]
        out.append(
            b'%b%b,"logprobs":null,"finish_reason":null}]%b%b}\n\n' % (choice.prefix, delta, self._no_usage, pad)
        )

    def _delta(self, choice: _Choice, event: Delta, out: list[bytes]) -> None:
        text = encode(event.text)
        field = _FIELDS.get(event.channel)
        if field is not None:
            if event.channel == "text":
                choice.length += len(event.text)
            self._chunk(choice, b'{"%b":%b}' % (field, text), out)
        elif event.channel == "arguments" and event.index in choice.calls:
            if self._legacy:
                delta = b'{"function_call":{"arguments":%b}}' % text
            else:
                number = choice.calls[event.index]
                delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (number, text)
            self._chunk(choice, delta, out)

    def _opened(self, choice: _Choice, event: ItemOpened, out: list[bytes]) -> None:
        if event.type == "message":
            choice.offsets[event.index] = choice.length
        elif event.type == "function_call":
            number = choice.calls[event.index] = len(choice.calls)
            function = b'{"name":%b,"arguments":""}' % encode(event.name)
            if self._legacy:
                delta = b'{"function_call":%b}' % function
            else:
                delta = b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":%b}]}' % (
                    number,
                    encode(event.call_id),
                    function,
                )
            self._chunk(choice, delta, out)

    def _annotation(self, choice: _Choice, event: Annotation, out: list[bytes]) -> None:
        cited = event.citation
        if isinstance(cited, UrlCitation):
            offset = choice.offsets.get(event.index, 0)
            note = web_annotation(cited.url, cited.title, cited.start_index + offset, cited.end_index + offset)
            self._chunk(choice, b'{"annotations":[%b]}' % encode(note), out)

    def _ended(self, choice: _Choice, reason: str, usage: Usage, out: list[bytes]) -> None:
        self._usages.append(usage)
        out.append(
            b'%b{},"logprobs":null,"finish_reason":"%b"}]%b}\n\n' % (choice.prefix, reason.encode(), self._no_usage)
        )
        if len(self._usages) < len(self._choices):
            return
        if self._include_usage:
            out.append(b'%b],"usage":%b}\n\n' % (self._head, render_usage(total_usage(self._usages))))
        out.append(DONE)


def _fault_of(error: RunError) -> OnwardError:
    """Return the error that a failed run stands for: clients match on its type."""
    match error.code:
        case "rate_limit_exceeded":
            return RateLimitError(error.message, code=error.code)
        case "invalid_prompt":
            return RequestError(error.message, code=error.code)
        case "server_error":
            return UpstreamError(error.message, code=error.code)
        case _:
            return InternalError(error.message, code=error.code)
