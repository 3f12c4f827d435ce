"""Answers of an upstream arrive complete, in order, one event for each chunk."""

import msgspec
import pytest
from model_calls import SEARCH, WEATHER, MakeModel, ask, calls, collect, finish, sent, texts, used

from onward.core.errors import RateLimitError
from onward.core.tools import ToolChoice
from onward.core.turns import Sampling, TextFormat
from onward.models.profiles import Profile
from onward.ports.model import Capabilities, ReasoningDelta, RefusalDelta
from onward.testing import Call, Fault, Reply, Rule, Script, ScriptedUpstream, TokenCount
from onward.testing.script import ChatTool

pytestmark = pytest.mark.anyio


def script(reply: Reply) -> Script:
    return Script(rules=(Rule(reply=reply),))


@pytest.mark.parametrize("stream", [True, False])
async def test_text_and_usage(make_model: MakeModel, upstream: ScriptedUpstream, stream: bool) -> None:
    count = TokenCount(prompt_tokens=7, completion_tokens=3, cached_tokens=5, reasoning_tokens=1)
    upstream.play(script(Reply(text=("Hel", "lo", " wörld\n"), usage=count)))
    model = make_model()
    events = await collect(model, ask(model, "hi", stream=stream))
    assert texts(events) == (["Hel", "lo", " wörld\n"] if stream else ["Hello wörld\n"])
    assert finish(events) == "stop"
    usage = used(events).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) == (7, 3, 5, 1)
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-upstream"


@pytest.mark.parametrize("burst", [1, 7, 5000])
async def test_each_chunk_is_one_delta(make_model: MakeModel, upstream: ScriptedUpstream, burst: int) -> None:
    pieces = tuple(f'{number} \\"\n, data: [DONE]' for number in range(2000))
    upstream.play(script(Reply(text=pieces, burst=burst)))
    model = make_model()
    assert texts(await collect(model, ask(model, "count"))) == list(pieces)


@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_and_refusal(make_model: MakeModel, upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.play(script(Reply(reasoning=("let me ", "think"), refusal=("I ", "cannot"))))
    model = make_model()
    events = await collect(model, ask(model, "hi", stream=stream))
    assert "".join(texts(events, ReasoningDelta)) == "let me think"
    assert "".join(texts(events, RefusalDelta)) == "I cannot"


@pytest.mark.parametrize("stream", [True, False])
async def test_parallel_calls(make_model: MakeModel, upstream: ScriptedUpstream, stream: bool) -> None:
    model = make_model()
    question = 'call get_weather {"city": "Paris"}\ncall search {"query": "x"}'
    events = await collect(model, ask(model, question, tools=(WEATHER, SEARCH), stream=stream))
    assert calls(events) == [("get_weather", '{"city": "Paris"}'), ("search", '{"query": "x"}')]
    assert finish(events) == "tool_calls"
    assert "tool_choice" not in sent(upstream)


@pytest.mark.parametrize(
    ("choice", "names", "wire"),
    [
        (ToolChoice("auto"), ["get_weather", "search"], None),
        (ToolChoice("none"), None, None),
        (ToolChoice("required"), ["get_weather", "search"], "required"),
        (ToolChoice("auto", ("search",)), ["search"], None),
        (ToolChoice("required", ("search",)), ["search"], {"type": "function", "function": {"name": "search"}}),
        (ToolChoice("required", ("search", "get_weather")), ["get_weather", "search"], "required"),
    ],
)
async def test_tool_choice(
    make_model: MakeModel, upstream: ScriptedUpstream, choice: ToolChoice, names: list[str] | None, wire: object
) -> None:
    model = make_model()
    tools = (WEATHER, SEARCH)
    await collect(model, ask(model, "hi", tools=tools, tool_choice=choice, parallel_tool_calls=False))
    body = sent(upstream)
    offered = msgspec.convert(body.get("tools"), list[ChatTool] | None)
    assert [tool.function.name for tool in offered or ()] == (names or [])
    assert body.get("parallel_tool_calls") == (False if names else None)
    assert body.get("tool_choice") == wire


async def test_sampling_and_format(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    model = make_model(Profile(token_limit="max_completion_tokens"))
    sampling = Sampling(temperature=0.5, top_p=0.9, max_output_tokens=64, reasoning_effort="low", verbosity="high")
    form = TextFormat("json_schema", name="n", schema=WEATHER.parameters, strict=True)
    await collect(model, ask(model, "hi", sampling=sampling, format=form, instructions="Be brief."))
    body = sent(upstream)
    assert body == {
        "model": "scripted",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 64,
        "reasoning_effort": "low",
        "verbosity": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
                "strict": True,
            },
        },
    }


async def test_constrained_call_and_streamed_answer(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    model = make_model(Profile(capabilities=Capabilities(tool_mode="constrained")))
    upstream.play(script(Reply(text=('{"call": {"name": "get_wea', 'ther", "arguments": {"city": "Paris"}}', "}"))))
    events = await collect(model, ask(model, "weather?", tools=(WEATHER,)))
    assert calls(events) == [("get_weather", '{"city": "Paris"}')]
    assert finish(events) == "tool_calls"
    body = sent(upstream)
    assert "tools" not in body
    upstream.play(script(Reply(text=('{"answer"', ': "It is ', "sunny\\", "n\\ud83d", '\\ude00 \\"now\\"', '."}'))))
    events = await collect(model, ask(model, "weather?", tools=(WEATHER,)))
    assert texts(events) == ["It is ", "sunny", "n", '\U0001f600 "now"', "."] or "".join(texts(events)) == (
        'It is sunny\n\U0001f600 "now".'
    )
    assert len(texts(events)) >= 4
    assert finish(events) == "stop"


async def test_salvaged_call(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    model = make_model(Profile(capabilities=Capabilities(tool_mode="salvage")))
    upstream.play(script(Reply(text=("```json\n", '{"name": "get_weather", ', '"arguments": {"city": "Oslo"}}\n```'))))
    events = await collect(model, ask(model, "weather?", tools=(WEATHER,)))
    assert calls(events) == [("get_weather", '{"city": "Oslo"}')]
    assert finish(events) == "tool_calls"
    assert texts(events) == []


async def test_scripted_calls_carry_given_ids(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    call = Call(name="search", arguments="not json", id="call_mine")
    upstream.play(script(Reply(text="Let me look.", tool_calls=(call,))))
    model = make_model()
    events = await collect(model, ask(model, "hi", tools=(SEARCH,)))
    assert calls(events) == [("search", "not json")]
    assert "".join(texts(events)) == "Let me look."


async def test_a_whole_answer_to_a_stream(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    body = b'{"choices":[{"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}'
    upstream.play(script(Reply(fault=Fault(kind="status", status=200, body=msgspec.Raw(body)))))
    model = make_model()
    events = await collect(model, ask(model, "hi"))
    assert texts(events) == ["whole"]
    assert finish(events) == "stop"


async def test_an_error_with_status_200(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    body = b'{"error":{"message":"slow down","type":"rate_limit_error"}}'
    upstream.play(script(Reply(fault=Fault(kind="status", status=200, body=msgspec.Raw(body)))))
    model = make_model()
    with pytest.raises(RateLimitError, match="slow down"):
        await collect(model, ask(model, "hi", stream=False))
