"""The scripted model inside the process says what the scripted server says."""

import asyncio
import json
from pathlib import Path

import pytest
from model_calls import SEARCH, WEATHER, MakeModel, ask, calls, collect, finish, texts, used

from onward.core.errors import RateLimitError, UpstreamError
from onward.core.tools import ToolChoice
from onward.core.turns import TextFormat
from onward.ports.model import Model, ModelRequest, ReasoningDelta
from onward.testing import Call, Fault, Reply, Rule, Script, ScriptedModel, ScriptedUpstream, When
from onward.testing.script import read_script

pytestmark = pytest.mark.anyio

CALL = Call(name="search", arguments={"q": 1})
SCRIPT = Script(
    rules=(
        Rule(
            when=When(contains="both"), reply=Reply(text="a b", tool_calls=(Call(name="search", arguments={"q": 1}),))
        ),
        Rule(when=When(contains="think"), reply=Reply(reasoning="hm hm", text="ok", finish_reason="length")),
        Rule(when=When(contains="once"), times=1, reply=Reply(text="first")),
        Rule(when=When(last_role="user", tools=True), reply=Reply(text="tools are offered")),
    )
)


def questions(model: Model) -> list[ModelRequest]:
    return [
        ask(model, "say both", tools=(SEARCH,)),
        ask(model, "think"),
        ask(model, "once"),
        ask(model, "once"),
        ask(model, "hi", tools=(WEATHER,)),
        ask(model, "hi"),
        ask(model, "hi", format=TextFormat("json_schema", name="n", schema=WEATHER.parameters)),
    ]


async def test_inside_and_over_http_are_the_same(make_model: MakeModel, upstream: ScriptedUpstream) -> None:
    upstream.play(SCRIPT)
    over_http = make_model()
    inside = ScriptedModel(SCRIPT)
    for left, right in zip(questions(inside), questions(over_http), strict=True):
        first, second = await collect(inside, left), await collect(over_http, right)
        assert texts(first) == texts(second)
        assert texts(first, ReasoningDelta) == texts(second, ReasoningDelta)
        assert calls(first) == calls(second)
        assert finish(first) == finish(second)
        assert used(first) == used(second)
    assert len(inside.requests) == len(inside.prompts) == inside.closed == 7
    assert inside.abandoned == 0


async def test_defaults_are_useful() -> None:
    model = ScriptedModel()
    assert "".join(texts(await collect(model, ask(model, "hello  there")))) == "You said: hello  there"
    forced = ask(model, "hi", tools=(WEATHER, SEARCH), tool_choice=ToolChoice("required", ("search",)))
    assert calls(await collect(model, forced)) == [("search", '{"query":""}')]
    form = TextFormat("json_schema", name="n", schema=WEATHER.parameters)
    assert json.loads("".join(texts(await collect(model, ask(model, "Oslo", format=form))))) == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="status", status=429, headers={"Retry-After": "3"}), RateLimitError),
        (Fault(kind="cut", after=1), UpstreamError),
        (Fault(kind="error", after=1), UpstreamError),
        (Fault(kind="malformed", after=1), UpstreamError),
    ],
)
async def test_faults(fault: Fault, kind: type[Exception]) -> None:
    model = ScriptedModel(Script(rules=(Rule(reply=Reply(text="a b", fault=fault)),)))
    with pytest.raises(kind):
        await collect(model, ask(model, "hi"))


async def test_a_hang_can_be_left() -> None:
    model = ScriptedModel(Script(rules=(Rule(reply=Reply(text="a b", fault=Fault(kind="hang", after=1))),)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await collect(model, ask(model, "hi"))
    assert (model.closed, model.abandoned) == (1, 1)


def test_a_script_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(
        '{"rules": [{"when": {"contains": "x"}, "reply": {"text": ["a", "b"], "tool_calls": [{"name": "f", "arguments":'
        ' {"n": 1}}], "fault": {"kind": "status", "status": 418, "body": {"error": {"message": "tea"}}}}}]}'
    )
    script = read_script(path)
    assert script.rules[0].reply.text == ("a", "b")
    assert script.rules[0].reply.tool_calls[0].arguments == {"n": 1}
