"""The turn loop over the real store: how turns end, what the model reads, and what is left when one is cut off."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from turning import PASSAGE, SEARCH, OneModel, asking, house

from onward.core.errors import OnwardError
from onward.core.events import Event, ItemClosed, ItemOpened, TurnFailed, TurnIncomplete, TurnStarted
from onward.core.items import item_text
from onward.core.tools import FunctionTool, ToolChoice
from onward.core.turns import AfterResponse, OnConversation, Sampling, TextFormat
from onward.engine import loop
from onward.engine.engine import Engine
from onward.models.extractive import ExtractiveModel
from onward.ports.model import Capabilities
from onward.testing.model import ScriptedModel
from onward.testing.script import Call, Fault, Reply, Rule, Script, TokenCount

pytestmark = pytest.mark.anyio

WEATHER = FunctionTool("get_weather")
LOOK = Call(name="file_search", arguments={"queries": ["refunds"]}, id="call_s")
ASK = Call(name="get_weather", arguments={"city": "Oslo"}, id="call_w")


def closed_as_opened(events: list[Event]) -> bool:
    """Tell whether each opened item was closed once."""
    opened = [event.index for event in events if isinstance(event, ItemOpened)]
    closed = [event.index for event in events if isinstance(event, ItemClosed)]
    return sorted(opened) == sorted(closed) and max(Counter(opened).values(), default=1) == 1


def body(event_item: Any) -> dict[str, Any]:
    return msgspec.json.decode(event_item.body)


async def test_a_slow_later_call_announces_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ANNOUNCE_SECONDS", 0.0)
    model = _SlowToOpen()
    async with house(tmp_path, Reply(tool_calls=(LOOK,)), Reply(text="Ten days."), model=model) as one:
        result = await one.turn(asking("refunds?", tools=(SEARCH,)))
    assert result.status == "completed"
    assert sum(isinstance(event, TurnStarted) for event in one.events) == 1


class _SlowToOpen(ScriptedModel):
    """Its headers come some ticks of the loop after the request."""

    def call(self, request: Any) -> Any:
        inner = super().call(request)

        class Opening:
            async def __aenter__(self) -> Any:
                for _ in range(20):
                    await asyncio.sleep(0)
                return await inner.__aenter__()

            async def __aexit__(self, *about: Any) -> Any:
                return await inner.__aexit__(*about)

        return Opening()


async def test_the_model_reads_its_own_words_beside_a_hosted_call(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text="Let me look.", tool_calls=(LOOK,)), Reply(text="Ten days.")) as one:
        await one.turn(asking("refunds?", tools=(SEARCH,)))
    assert one.prompts()[1] == [
        ("user", "refunds?"),
        ("assistant", "Let me look."),
        ("tool", "Partial refunds take ten days."),
    ]


async def test_hosted_and_client_calls_of_one_model_call(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(tool_calls=(LOOK, ASK))) as one:
        first = await one.turn(asking("both", tools=(SEARCH, WEATHER)))
        assert [item.type for item in first.output] == ["file_search_call", "function_call"]
        base = await one.project.runs.base(AfterResponse(f"resp_{one.suffix}"))
        assert base.open_calls == ("call_w",) and closed_as_opened(one.events)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_cut_short_closes_every_item_and_leaves_no_call_open(tmp_path: Path, reason: Any) -> None:
    reply = Reply(tool_calls=(LOOK, ASK), finish_reason=reason)
    async with house(tmp_path, reply, Reply(text="again")) as one:
        result = await one.turn(asking("both", tools=(SEARCH, WEATHER)))
        assert result.status == "incomplete" and isinstance(one.events[-1], TurnIncomplete)
        assert closed_as_opened(one.events)
        assert [body(item)["status"] for item in result.output] == ["incomplete", "incomplete"]
        # The next turn is accepted, and the model does not see half a call: neither from memory nor from the store.
        parent = AfterResponse(f"resp_{one.suffix}")
        await one.turn(asking("go on", parent=parent))
        assert one.prompts()[-1] == [("user", "both"), ("user", "go on")]
        one.engine = Engine(models=OneModel(one.model), node="other")
        await one.turn(asking("go on", parent=parent))
        assert one.prompts()[-1] == [("user", "both"), ("user", "go on")]


async def test_a_fault_after_a_complete_hosted_call_closes_its_item(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(tool_calls=(LOOK, ASK), fault=Fault(kind="cut", after=5))) as one:
        result = await one.turn(asking("both", tools=(SEARCH, WEATHER)))
        assert result.status == "failed" and isinstance(one.events[-1], TurnFailed)
        assert closed_as_opened(one.events)
        stored = await one.project.runs.get(one.suffix)
        assert stored is not None and await one.project.runs.output(stored) == list(result.output)


async def test_usage_is_summed_and_the_budget_is_that_of_the_whole_turn(tmp_path: Path) -> None:
    spent = TokenCount(prompt_tokens=10, completion_tokens=40, cached_tokens=3, reasoning_tokens=2)
    async with house(tmp_path, Reply(tool_calls=(LOOK,), usage=spent), Reply(text="no", usage=spent)) as one:
        result = await one.turn(asking("q", tools=(SEARCH,), sampling=Sampling(max_output_tokens=100)))
        assert (result.usage.input_tokens, result.usage.output_tokens) == (20, 80)
        assert (result.usage.cached_tokens, result.usage.reasoning_tokens) == (6, 4)
        assert [request.sampling.max_output_tokens for request in one.model.requests] == [100, 60]
    async with house(tmp_path, Reply(tool_calls=(LOOK,), usage=spent), Reply(text="no")) as one:
        result = await one.turn(asking("q", tools=(SEARCH,), sampling=Sampling(max_output_tokens=40)))
        assert (result.status, result.incomplete_reason) == ("incomplete", "max_output_tokens")
        assert len(one.model.requests) == 1


async def test_hosted_calls_beyond_the_allowance_are_ignored(tmp_path: Path) -> None:
    twice = Reply(tool_calls=(LOOK, Call(name="file_search", id="call_t")))
    async with house(tmp_path, twice, Reply(text="Ten days.")) as one:
        result = await one.turn(asking("q", tools=(SEARCH,), max_tool_calls=1))
    assert [item.type for item in result.output] == ["file_search_call", "message"]
    assert [len(request.tools) for request in one.model.requests] == [1, 0]


async def test_an_unrendered_input_still_lets_the_model_read_its_tools(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text="hello"), Reply(tool_calls=(LOOK,)), Reply(text="Ten days.")) as one:
        await one.turn(asking("hi"))
        await one.turn(asking("", input=(), tools=(SEARCH,), parent=AfterResponse(f"resp_{one.suffix}")))
    assert one.prompts()[-1][-1] == ("tool", "Partial refunds take ten days.")


async def test_a_required_call_is_satisfied_by_the_search_that_comes_first(tmp_path: Path) -> None:
    model = ScriptedModel(capabilities=Capabilities(forced_retrieval=True))
    async with house(tmp_path, Reply(text="Ten days."), model=model) as one:
        choice = ToolChoice("required")
        result = await one.turn(asking("refunds?", tools=(SEARCH,), tool_choice=choice, max_tool_calls=1))
    assert [item.type for item in result.output] == ["file_search_call", "message"]


async def test_a_call_without_arguments_is_an_empty_object(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(tool_calls=(Call(name="get_weather", arguments=""),))) as one:
        result = await one.turn(asking("q", tools=(WEATHER,)))
    assert body(result.output[0])["arguments"] == "{}"


async def test_text_and_refusal_are_parts_of_one_message(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(refusal="No.", text="Well.")) as one:
        result = await one.turn(asking("q"))
    parts = [[part["type"] for part in body(item)["content"]] for item in result.output]
    assert parts == [["output_text", "refusal"]]


async def test_a_failing_insert_is_the_answer(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text="one")) as one:
        created = await one.project.state.conversations.create(metadata=b"{}", items=())
        parent = OnConversation(f"conv_{created.suffix}")
        one.project.toolset.gate.clear()
        one.model.play(Script(rules=(Rule(reply=Reply(tool_calls=(LOOK,))),)))
        holder = asyncio.create_task(one.turn(asking("q", parent=parent, tools=(SEARCH,))))
        await one.project.toolset.started.wait()
        with pytest.raises(OnwardError, match="Another process is currently operating"):
            await one.turn(asking("q", parent=parent))
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        # Cancelled inside a hosted tool: the lock is free at once, and the run says how it ended.
        one.project.toolset.gate.set()
        one.model.play(Script())
        assert (await one.turn(asking("now", parent=parent))).status == "completed"


@pytest.mark.parametrize("ticks", range(14))
async def test_a_turn_cancelled_at_any_moment_frees_its_conversation(tmp_path: Path, ticks: int) -> None:
    async with house(tmp_path) as one:
        created = await one.project.state.conversations.create(metadata=b"{}", items=())
        parent = OnConversation(f"conv_{created.suffix}")
        turn = asyncio.create_task(one.turn(asking("first", parent=parent)))
        for _ in range(ticks):
            await asyncio.sleep(0)
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        run = await one.project.runs.get(one.suffix) if one.suffix else None
        assert run is None or run.status in ("cancelled", "completed")
        assert (await one.turn(asking("second", parent=parent))).status == "completed"
        told = [text for role, text in one.prompts()[-1] if role == "user"]
        completed = run is not None and run.status == "completed"
        assert told == (["first", "second"] if completed else ["second"])


async def test_without_a_model_the_passages_answer_and_json_is_refused_before_any_search(tmp_path: Path) -> None:
    model = ExtractiveModel()
    async with house(tmp_path) as one:
        one.engine = Engine(models=OneModel(model), node="n")
        result = await one.turn(asking("refunds?", tools=(SEARCH,)))
        assert [item.type for item in result.output] == ["file_search_call", "message"]
        assert item_text(result.output[1]) == PASSAGE.text and closed_as_opened(one.events)
        again = await one.turn(asking("and then?", tools=(SEARCH,), parent=AfterResponse(f"resp_{one.suffix}")))
        assert item_text(again.output[1]) == PASSAGE.text
        one.events.clear()
        with pytest.raises(OnwardError, match="JSON need a language model"):
            await one.turn(asking("refunds?", tools=(SEARCH,), format=TextFormat("json_object")))
        assert not one.events


async def test_a_turn_that_is_not_stored_runs_its_tools_and_leaves_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(tool_calls=(LOOK,)), Reply(text="Ten days.")) as one:
        result = await one.turn(asking("refunds?", tools=(SEARCH,), store=False))
        assert [item.type for item in result.output] == ["file_search_call", "message"]
        assert await one.project.runs.get(one.suffix) is None
        assert await one.project.runs.item(result.output[1].id) is None
