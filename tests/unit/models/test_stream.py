"""Bytes → chunks → events, however the bytes were cut."""

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onward.core.errors import RateLimitError, UpstreamError
from onward.models.chat_completions.fold import ChunkFold
from onward.models.chat_completions.sse import ChunkReader
from onward.ports.model import CallDelta, Finished, ModelEvent, TextDelta, Used


def chunk(**delta: object) -> bytes:
    return b"data: " + msgspec.json.encode({"choices": [{"index": 0, "delta": delta}]}) + b"\n\n"


def run(*reads: bytes) -> tuple[list[ModelEvent], ChunkReader, ChunkFold]:
    reader, fold = ChunkReader(), ChunkFold()
    events: list[ModelEvent] = []
    for data in reads:
        events += fold.feed(reader.feed(data))
    return events, reader, fold


@given(st.lists(st.text(min_size=1), max_size=8), st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_cuts_do_not_matter(words: list[str], cuts: list[int], crlf: bool) -> None:
    stream = b"".join(chunk(content=word) for word in words) + b": ping\n\nevent: x\ndata:[DONE]\n\n"
    if crlf:
        stream = stream.replace(b"\n", b"\r\n")
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    events, reader, _ = run(*(stream[start:end] for start, end in itertools.pairwise(places)))
    assert events == [TextDelta(word) for word in words]
    assert reader.done
    assert reader.fault is None


def test_done_inside_a_text_is_text() -> None:
    text = "data: [DONE]\n\ndata: [DONE]"
    events, reader, _ = run(chunk(content=text))
    assert events == [TextDelta(text)]
    assert not reader.done


def test_what_came_before_a_broken_event_counts() -> None:
    events, reader, _ = run(chunk(content="a") + b'data: {"choices": 5}\n\n' + chunk(content="b"))
    assert events == [TextDelta("a")]
    assert isinstance(reader.fault, UpstreamError)


def test_error_in_the_stream() -> None:
    _, _, fold = run(b'data: {"error":{"message":"slow down","type":"rate_limit_error","code":null}}\n\n')
    assert isinstance(fold.fault, RateLimitError)
    _, _, fold = run(b'error: {"code":500,"message":"oops","type":"server_error"}\n\n')
    assert isinstance(fold.fault, UpstreamError)
    _, _, fold = run(b'data: {"choices":[],"error":null}\n\n')
    assert fold.fault is None


def part(index: int | None, call_id: str | None, name: str | None, arguments: str) -> dict[str, object]:
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}


def test_calls_are_numbered_however_they_are_sent() -> None:
    same_index, _, _ = run(
        chunk(tool_calls=[part(0, "a", "f", "{}")]),
        chunk(tool_calls=[part(0, "b", "g", "{")]),
        chunk(tool_calls=[part(0, None, None, "}")]),
    )
    repeated, _, _ = run(
        chunk(tool_calls=[part(3, "a", "f", "{")]),
        chunk(tool_calls=[part(3, "a", "f", "}")]),
        chunk(tool_calls=[part(7, "b", "g", "{}")]),
    )
    assert same_index == [CallDelta(0, "{}", "a", "f"), CallDelta(1, "{", "b", "g"), CallDelta(1, "}")]
    assert repeated == [CallDelta(0, "{", "a", "f"), CallDelta(0, "}"), CallDelta(1, "{}", "b", "g")]
    (nameless,), _, _ = run(chunk(tool_calls=[part(None, None, "f", "{}")]))
    assert isinstance(nameless, CallDelta)
    assert nameless.call_id
    assert nameless.call_id.startswith("call_")


def test_usage_is_reported_once_at_the_end() -> None:
    usage = b'"usage":{"prompt_tokens":3,"completion_tokens":%d}'
    events, _, fold = run(
        b'data: {"choices":[{"delta":{"content":"a"}}],' + usage % 1 + b"}\n\n",
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],' + usage % 2 + b"}\n\n",
    )
    assert events == [TextDelta("a"), Finished("stop")]
    (report,) = fold.finish(done=True)
    assert isinstance(report, Used)
    assert (report.usage.input_tokens, report.usage.output_tokens) == (3, 2)


def test_stop_after_calls_is_tool_calls() -> None:
    stop = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    events, _, _ = run(chunk(tool_calls=[part(0, "a", "f", "{}")]), stop)
    assert events[-1] == Finished("tool_calls")
