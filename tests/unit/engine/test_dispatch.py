"""Which tool the model must, may or must not call, over the model calls of one turn."""

import pytest
from turning import SEARCH, HeldToolset, NoCiter

from onward.core.errors import UpstreamError
from onward.core.events import Delta, ItemClosed, ItemOpened
from onward.core.tools import FunctionTool, Tool, ToolChoice
from onward.core.turns import TurnRequest
from onward.engine.dispatch import Dispatch
from onward.engine.output import Output
from onward.ports.hosted import Offer
from onward.ports.model import CallDelta, Capabilities, Finished, RefusalDelta, TextDelta

F, G = FunctionTool("f"), FunctionTool("g")
OFFER = Offer(FunctionTool("file_search"), "file_search_call", SEARCH, "file_search")
AUTO, NONE = ToolChoice(), ToolChoice("none")


def dispatch(choice: ToolChoice, *tools: Tool) -> Dispatch:
    return Dispatch(TurnRequest(dialect="responses", model="m", tools=tools, tool_choice=choice), HeldToolset())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("choice", "first", "later", "no_hosted_first", "no_hosted_later"),
    [
        (AUTO, AUTO, AUTO, AUTO, AUTO),
        (NONE, NONE, NONE, NONE, NONE),
        (ToolChoice("required"), ToolChoice("required"), AUTO, ToolChoice("required"), AUTO),
        (ToolChoice("required", ("file_search",)), ToolChoice("required", ("file_search",)), AUTO, AUTO, AUTO),
        (ToolChoice("required", ("f",)), ToolChoice("required", ("f",)), AUTO, ToolChoice("required", ("f",)), AUTO),
        (ToolChoice("auto", ("file_search",)), ToolChoice("auto", ("file_search",)),
         ToolChoice("auto", ("file_search",)), NONE, NONE),
        (ToolChoice("required", ("file_search", "f")), ToolChoice("required", ("file_search", "f")),
         ToolChoice("auto", ("file_search", "f")), ToolChoice("auto", ("f",)), ToolChoice("auto", ("f",))),
    ],
)  # fmt: skip
async def test_a_call_is_required_once_and_a_narrowed_choice_stays_narrow(
    choice: ToolChoice, first: ToolChoice, later: ToolChoice, no_hosted_first: ToolChoice, no_hosted_later: ToolChoice
) -> None:
    tools = dispatch(choice, SEARCH, F, G)
    await tools.check()
    assert tools.choice(first=True, hosted=True) == first
    assert tools.choice(first=False, hosted=True) == later
    assert tools.choice(first=True, hosted=False) == no_hosted_first
    assert tools.choice(first=False, hosted=False) == no_hosted_later


def test_nothing_is_required_where_nothing_is_offered() -> None:
    assert dispatch(ToolChoice("required"), SEARCH).choice(first=True, hosted=False) == AUTO


def test_declarations_and_first_passages_count() -> None:
    forced = Capabilities(forced_retrieval=True, passage_tokens=450)
    assert dispatch(AUTO, SEARCH).tokens(forced) == 450
    assert dispatch(NONE, SEARCH).tokens(forced) == 0
    assert dispatch(AUTO, FunctionTool("f", "four" * 10)).tokens(Capabilities()) == 10


def output() -> Output:
    return Output(hosted=lambda name: OFFER if name == "file_search" else None, parallel_tool_calls=True)


def test_text_after_a_refusal_begins_a_message() -> None:
    fold = output()
    fold.begin_call()
    events = fold.take((TextDelta("a"), RefusalDelta("b"), TextDelta("c"), Finished("stop"))) + fold.end_call()
    parts = [(event.index, event.channel, event.part) for event in events if isinstance(event, Delta)]
    assert parts == [(0, "text", 0), (0, "refusal", 1), (1, "text", 0)]


def test_calls_that_have_not_run_end_before_what_was_cut() -> None:
    fold = output()
    fold.new_citer = NoCiter
    fold.begin_call()
    events = fold.take((CallDelta(0, "{}", "call_1", "file_search"), CallDelta(1, '{"a', "call_2", "f")))
    events += fold.end_call(status="incomplete")
    assert [event.index for event in events if isinstance(event, ItemOpened)] == [0, 1]
    closed = [event for event in events if isinstance(event, ItemClosed)]
    assert [event.index for event in closed] == [0, 1]
    assert all(b'"status":"incomplete"' in event.item.body for event in closed)
    assert fold.closed == tuple(event.item for event in closed) and not fold.client_calls


def arguments(fold: Output) -> list[str]:
    return [call.arguments for call in fold.client_calls]


def test_empty_lines_between_the_fragments_of_a_call_are_no_message() -> None:
    fold = output()
    fold.begin_call()
    fold.take((CallDelta(0, '{"a":', "call_1", "f"), TextDelta("\n\n"), CallDelta(0, "1}")))
    fold.end_call()
    assert arguments(fold) == ['{"a":1}'] and len(fold.closed) == 1


@pytest.mark.parametrize("between", [TextDelta("so"), CallDelta(1, "{}", "call_2", "g")])
def test_arguments_that_come_after_their_call_was_closed_are_a_fault(between: TextDelta | CallDelta) -> None:
    fold = output()
    fold.begin_call()
    fold.take((CallDelta(0, '{"a":', "call_1", "f"), between))
    with pytest.raises(UpstreamError, match="mixed the arguments"):
        fold.take((CallDelta(0, "1}"),))


def test_all_fragments_of_an_ignored_call_are_ignored() -> None:
    fold = Output(hosted=lambda name: OFFER, parallel_tool_calls=True, allowance=0)
    fold.begin_call()
    assert fold.take((CallDelta(0, "", "call_1", "file_search"), CallDelta(0, "{}"), CallDelta(0, " "))) == []
    serial = Output(hosted=lambda name: None, parallel_tool_calls=False)
    serial.begin_call()
    serial.take((CallDelta(0, "{", "call_1", "f"), CallDelta(1, "{}", "call_2", "f"), CallDelta(0, "}")))
    serial.end_call()
    assert arguments(serial) == ["{}"]
