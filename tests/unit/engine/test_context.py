"""What a turn reads: a beginning that stays the same for many turns, and a cache that stays within its bounds."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from turning import asking, house, said

from onward.core.errors import RequestError
from onward.core.items import Item, encode, item_text
from onward.core.lineage import Segment
from onward.core.turns import AfterResponse, Sampling
from onward.engine.assembly import dropped_tokens, with_passages
from onward.engine.context import ContextCache, ContextKey
from onward.ports.model import Capabilities
from onward.testing.model import ScriptedModel

pytestmark = pytest.mark.anyio

WINDOW = 2048
SHORT = Sampling(max_output_tokens=256)


def windowed() -> ScriptedModel:
    return ScriptedModel(capabilities=Capabilities(context_window=WINDOW))


@pytest.mark.parametrize("window", [512, 4096, 131072])
def test_dropping_goes_in_blocks_that_do_not_depend_on_what_a_turn_brings(window: int) -> None:
    taken = window // 4
    seen = {
        dropped_tokens(window * 2 + turn * (window // 100), window, taken + turn % 7 * (window // 500))
        for turn in range(50)
    }
    assert len(seen) <= 4 and all(block % (window // 4) == 0 for block in seen)


@pytest.mark.parametrize("history", [0, 10, 900, 5000])
@pytest.mark.parametrize("taken", [0, 300, 900, 1000, 1024, 3000])
def test_what_is_left_fits_and_no_more_is_dropped_than_there_is(history: int, taken: int) -> None:
    dropped = dropped_tokens(history, 1024, taken)
    assert 0 <= dropped <= history
    assert history - dropped <= max(1024 - taken, 0)
    if history <= 1024 - taken:
        assert dropped == 0


async def test_the_prefix_stays_the_same_for_several_turns(tmp_path: Path) -> None:
    beginnings: list[str] = []
    async with house(tmp_path, model=windowed()) as one:
        parent = None
        for turn in range(40):
            text = f"turn {turn} " + "word " * (40 + turn % 5)
            await one.turn(asking(text, parent=parent, truncation="auto", sampling=SHORT))
            parent = AfterResponse(f"resp_{one.suffix}")
            beginnings.append(one.prompts()[-1][0][1].split(" word")[0])
            fragments = one.model.requests[-1].context
            assert sum(map(len, fragments)) / 4 < WINDOW
    changes = sum(one != two for one, two in pairwise(beginnings))
    assert 2 <= changes <= 12 and beginnings[-1] != "turn 0"


async def test_a_long_history_is_refused_where_nothing_may_be_dropped(tmp_path: Path) -> None:
    async with house(tmp_path, model=windowed()) as one:
        await one.turn(asking("word " * 1500))
        with pytest.raises(RequestError) as error:
            await one.turn(asking("more", parent=AfterResponse(f"resp_{one.suffix}")))
    assert error.value.code == "context_length_exceeded"


async def test_forks_and_deletions_read_their_own_context(tmp_path: Path) -> None:
    async with house(tmp_path) as one:
        await one.turn(asking("root"))
        root = AfterResponse(f"resp_{one.suffix}")
        await one.turn(asking("left", parent=root))
        left = AfterResponse(f"resp_{one.suffix}")
        await one.turn(asking("right", parent=root))
        await one.turn(asking("left again", parent=left))
        await one.project.runs.delete(root.response_id.removeprefix("resp_"))
        await one.turn(asking("left for ever", parent=left))
    asked = [[text for role, text in prompt if role == "user"] for prompt in one.prompts()]
    assert asked == [["root"], ["root", "left"], ["root", "right"], ["root", "left", "left again"],
                     ["root", "left", "left for ever"]]  # fmt: skip


def key(number: int) -> ContextKey:
    return (1, "model", (Segment(1, number, 0),), 0)


def test_the_cache_is_bounded_and_forgets_the_oldest_first() -> None:
    cache = ContextCache(capacity=1000)
    for number in range(10):
        cache.put(key(number), (b"x" * 200,))
    assert [number for number in range(10) if cache.get(key(number)) is not None] == [7, 8, 9]
    cache.put(key(10), (b"x" * 2000,))
    assert cache.get(key(10)) is None and cache.get(key(9)) is not None


def test_an_entry_moves_on_with_its_chain() -> None:
    cache = ContextCache()
    cache.put(key(1), (b"a",))
    cache.put(key(2), (b"a", b"b"), grown_from=key(1))
    assert cache.get(key(1)) is None and cache.get(key(2)) == (b"a", b"b")


def test_passages_come_before_the_question_and_nothing_of_it_is_lost() -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}
    parts = [{"type": "input_text", "text": "What is this?"}, picture]
    body = {"id": "msg_1", "type": "message", "role": "user", "content": parts}
    asked = Item("msg_1", "message", encode(body), "user")
    before, question = with_passages([said("hello"), asked], "[1] A cat.")
    assert item_text(before) == "hello"
    assert item_text(question) == "[1] A cat.\n\nWhat is this?"
    assert picture in msgspec.json.decode(question.body)["content"]
