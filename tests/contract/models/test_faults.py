"""Each fault of an upstream becomes the right error, in bounded time, and lets its connection go."""

import asyncio
import socket

import msgspec
import pytest
from model_calls import MakeModel, ask, collect, finish, sent, texts, used

from onward.core.errors import OnwardError, RateLimitError, RequestError, UpstreamError, UpstreamTimeout
from onward.core.errors import UpstreamUnavailable as Unavailable
from onward.models.chat_completions import Retries, Timeouts
from onward.ports.model import ModelEvent
from onward.testing import Fault, Reply, Rule, Script, ScriptedUpstream, When

pytestmark = pytest.mark.anyio

NO_RETRY = Retries(limit=0)


def failing(fault: Fault, *, times: int | None = None, delay: float = 0.0) -> Script:
    return Script(rules=(Rule(reply=Reply(text="one two three four", fault=fault, delay=delay), times=times),))


def error_body(**fields: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"error": fields}))


@pytest.mark.parametrize(
    ("fault", "kind", "status", "code"),
    [
        (Fault(kind="status", status=429, headers={"Retry-After": "77"}), RateLimitError, 429, "rate_limit_exceeded"),
        (Fault(kind="status", status=401), UpstreamError, 502, "upstream_authentication"),
        (Fault(kind="status", status=403), UpstreamError, 502, "upstream_authentication"),
        (Fault(kind="status", status=500), UpstreamError, 502, "upstream_error"),
        (Fault(kind="status", status=503), Unavailable, 503, None),
        (Fault(kind="status", status=504), UpstreamTimeout, 504, None),
        (Fault(kind="status", status=302), UpstreamError, 502, "upstream_error"),
        (
            Fault(kind="status", status=400, body=error_body(message="Too long", code="context_length_exceeded")),
            RequestError,
            400,
            "context_length_exceeded",
        ),
        (
            Fault(kind="status", status=400, body=error_body(message="maximum context length is 5", code=400)),
            RequestError,
            400,
            "context_length_exceeded",
        ),
        (Fault(kind="status", status=422, body=error_body(message="No", code="bad")), RequestError, 400, "bad"),
        (Fault(kind="status", status=404, body=error_body(message="no model x")), RequestError, 400, "model_not_found"),
        (Fault(kind="status", status=404, body=msgspec.Raw(b"<html>")), UpstreamError, 502, "upstream_error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_status(
    make_model: MakeModel,
    upstream: ScriptedUpstream,
    fault: Fault,
    kind: type[OnwardError],
    status: int,
    code: str | None,
    stream: bool,
) -> None:
    upstream.play(failing(fault))
    model = make_model(retries=NO_RETRY)
    with pytest.raises(kind) as caught:
        await collect(model, ask(model, "hi", stream=stream))
    assert type(caught.value) is kind
    assert (caught.value.http_status, caught.value.code) == (status, code)


async def test_retry_after_is_relayed_where_it_is_long(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(Fault(kind="status", status=429, headers={"Retry-After": "77"})))
    model = make_model()
    with pytest.raises(RateLimitError) as caught:
        await collect(model, ask(model, "hi"))
    assert caught.value.retry_after == 77
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=429, headers={"retry-after-ms": "1"}),
        Fault(kind="status", status=500),
        Fault(kind="status", status=503, headers={"Retry-After": "0"}),
        Fault(kind="cut", after=0),
    ],
)
async def test_tried_again(make_model: MakeModel, upstream: ScriptedUpstream, fault: Fault) -> None:
    upstream.play(failing(fault, times=2))
    model = make_model()
    events = await collect(model, ask(model, "hi"))
    assert "".join(texts(events)) == "You said: hi"
    assert len(upstream.requests) == 3


async def test_tried_three_times_at_most(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(Fault(kind="status", status=500)))
    model = make_model()
    with pytest.raises(UpstreamError):
        await collect(model, ask(model, "hi"))
    assert len(upstream.requests) == 3


async def _until_error(make_model: MakeModel, timeouts: Timeouts | None = None) -> tuple[list[ModelEvent], OnwardError]:
    model = make_model(timeouts=timeouts)
    events: list[ModelEvent] = []
    try:
        async with model.call(ask(model, "hi")) as batches:
            async for batch in batches:
                events.extend(batch)
    except OnwardError as error:
        return events, error
    raise AssertionError("the call did not fail")


@pytest.mark.parametrize(
    ("kind", "code"), [("cut", "upstream_cut"), ("malformed", "upstream_malformed"), ("error", "upstream_error")]
)
async def test_fault_after_some_text(make_model: MakeModel, upstream: ScriptedUpstream, kind: str, code: str) -> None:
    fault = msgspec.convert({"kind": kind, "after": 2}, Fault)
    upstream.play(failing(fault))
    events, error = await _until_error(make_model)
    assert texts(events) == ["one", " two"]
    assert isinstance(error, UpstreamError)
    assert error.code == code
    assert len(upstream.requests) == 1


async def test_hang_after_some_text(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(Fault(kind="hang", after=2)))
    events, error = await _until_error(make_model, Timeouts(idle=0.1))
    assert texts(events) == ["one", " two"]
    assert isinstance(error, UpstreamTimeout)


@pytest.mark.parametrize("stream", [True, False])
async def test_hang_before_the_first_byte(make_model: MakeModel, upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.play(Script(rules=(Rule(reply=Reply(text="x", delay=60)),)))
    model = make_model(timeouts=Timeouts(first_byte=0.1, total=0.3))
    with pytest.raises(UpstreamTimeout):
        await collect(model, ask(model, "hi", stream=stream))


async def test_endless_line(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(Fault(kind="endless", after=1)))
    events, error = await _until_error(make_model)
    assert texts(events) == ["one"]
    assert error.code == "upstream_malformed"


async def test_malformed_whole_answer(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(Fault(kind="malformed")))
    model = make_model(retries=NO_RETRY)
    with pytest.raises(UpstreamError) as caught:
        await collect(model, ask(model, "hi", stream=False))
    assert caught.value.code == "upstream_malformed"


async def test_nobody_listens(make_model: MakeModel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    model = make_model(base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(Unavailable) as caught:
        await collect(model, ask(model, "hi"))
    assert caught.value.code == "upstream_unreachable"


async def test_leaving_ends_the_upstream_request(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    upstream.play(Script(rules=(Rule(reply=Reply(text="word " * 10_000, delay=0.005)),)))
    model = make_model()
    async with model.call(ask(model, "hi")) as batches:
        async for _ in batches:
            break
    async with asyncio.timeout(5):
        while upstream.disconnects == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_stream_options_are_dropped_where_refused(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    refusal = Fault(kind="status", status=400, body=error_body(message="unknown field stream_options"))
    upstream.play(Script(rules=(Rule(reply=Reply(fault=refusal), times=1, when=When(stream=True)),)))
    model = make_model(retries=NO_RETRY)
    events = await collect(model, ask(model, "hi"))
    assert finish(events) == "stop"
    assert "stream_options" not in sent(upstream)
    await collect(model, ask(model, "again"))
    assert len(upstream.requests) == 3
    assert "stream_options" not in sent(upstream)


async def test_connection_is_used_again(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    model = make_model()
    for _ in range(3):
        assert used(await collect(model, ask(model, "hi"))).usage.output_tokens > 0
    assert len(upstream.requests) == 3
