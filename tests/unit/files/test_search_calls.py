"""What a model says in a file_search call, and what it is told: queries, filters, ranking, budget, excerpts."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from msgspec import Raw

from onward.core.errors import NotFoundError, RequestError
from onward.core.items import read_file_search_call
from onward.core.tokens import estimate_tokens
from onward.core.tools import FileSearchTool, RankingOptions, ToolCall
from onward.ports.filters import Filter
from onward.ports.library import Ranking
from onward.ports.passages import Weights
from onward.ports.vector_stores import Hit
from onward.tools import file_search
from onward.tools.excerpt import excerpt

TOOL = FileSearchTool(("vs_1",))


def call(arguments: str) -> ToolCall:
    return ToolCall("call_1", "file_search", arguments)


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ('{"queries": ["a b", " c "]}', ("a b", "c")),
        ('{"queries": "one"}', ("one",)),
        ('{"query": "one"}', ("one",)),
        ('{"queries": ["a", "a", "", "  "]}', ("a",)),
        ('{"queries": ["1","2","3","4","5","6"]}', ("1", "2", "3", "4", "5")),
        ('{"queries": 3}', ()),
        ("{}", ()),
        ("", ()),
        ('{"queries": ["cut', ()),
    ],
)
def test_queries_are_read_leniently(arguments: str, queries: tuple[str, ...]) -> None:
    assert file_search.queries_of(call(arguments)) == queries


def test_the_declaration_is_a_schema_that_its_calls_satisfy() -> None:
    parameters = file_search.DECLARATION.parameters
    assert parameters is not None
    schema = msgspec.json.decode(parameters)
    assert schema["required"] == ["queries"] and schema["additionalProperties"] is False


def test_a_wrong_filter_names_its_place() -> None:
    tool = FileSearchTool(("vs_1",), filters=Raw(b'{"type":"and","filters":[{"type":"eq","key":"a"}]}'))
    with pytest.raises(RequestError) as refused:
        file_search.filter_of(tool)
    assert refused.value.param == "tools.filters.filters[0].value"


def test_ranking_options_reach_the_search() -> None:
    options = RankingOptions(ranker="none", score_threshold=0.4, embedding_weight=1.0, text_weight=0.0)
    ranking = file_search.ranking_of(FileSearchTool(("vs_1",), ranking=options), limit=7)
    assert ranking == Ranking(limit=7, threshold=0.4, weights=Weights(1.0, 0.0), ranker="none")


def hit(number: int, text: str = "text") -> Hit:
    return Hit(f"file-{number}", f"{number}.md", 0.9, text, {"n": 1.0}, 10, 10 + len(text), 2 if number else None)


class Shelf:
    """A search that answers from a list and keeps what it was asked."""

    def __init__(self, hits: Sequence[Hit] | Exception) -> None:
        self.hits = hits
        self.asked: list[tuple[Sequence[str], Sequence[str], Ranking]] = []

    async def search(
        self, store_ids: Sequence[str], queries: Sequence[str], *, filter: Filter | None = None, ranking: Ranking
    ) -> Sequence[Hit]:
        self.asked.append((store_ids, queries, ranking))
        if isinstance(self.hits, Exception):
            raise self.hits
        return self.hits


def test_an_outcome_has_results_passages_and_numbered_text() -> None:
    shelf = Shelf([hit(0, "first"), hit(1, "second")])
    outcome = asyncio.run(file_search.search(shelf, TOOL, ("q",), shown=("q",)))
    seen = read_file_search_call(outcome.body)
    assert seen.queries == ("q",) and seen.results is not None
    assert [(one.file_id, one.text, one.attributes) for one in seen.results] == [
        ("file-0", "first", {"n": 1.0}),
        ("file-1", "second", {"n": 1.0}),
    ]
    assert "[1] 0.md\nfirst" in outcome.answer and "[2] 1.md, page 2\nsecond" in outcome.answer
    assert [(passage.start, passage.end, passage.page) for passage in outcome.passages] == [(10, 15, None), (10, 16, 2)]
    assert shelf.asked[0][2].limit == file_search.DEFAULT_RESULTS


@pytest.mark.parametrize(("declared", "limit", "wanted"), [(None, None, 20), (5, None, 5), (50, 3, 3), (None, 3, 3)])
def test_the_smallest_limit_counts(declared: int | None, limit: int | None, wanted: int) -> None:
    shelf = Shelf([])
    tool = FileSearchTool(("vs_1",), max_num_results=declared)
    asyncio.run(file_search.search(shelf, tool, ("q",), shown=("q",), limit=limit))
    assert shelf.asked[0][2].limit == wanted


def test_passages_beyond_the_token_budget_are_left_out_but_never_all() -> None:
    long = "word " * 8_000
    assert len(file_search.within_budget([hit(0, long), hit(1, long), hit(2)])) == 1
    assert len(file_search.within_budget([hit(0, long * 3)])) == 1


def test_a_fault_is_told_to_the_model() -> None:
    outcome = asyncio.run(file_search.search(Shelf(NotFoundError("gone")), TOOL, ("q",), shown=("q",)))
    assert outcome.status == "failed" and "gone" in outcome.answer and not outcome.passages


def test_an_excerpt_keeps_the_sentences_that_were_asked_for() -> None:
    filler = "Unrelated matters are described at length in this sentence here. "
    text = filler * 10 + "Digital goods cannot be refunded after download. Ask support first. " + filler * 10
    cut = excerpt(text, ["refund of digital goods"], tokens=60)
    assert "Digital goods cannot be refunded after download." in cut
    assert estimate_tokens(cut) <= 60 and cut in text


def test_an_excerpt_of_a_short_text_is_the_text() -> None:
    assert excerpt("short", ["x"], tokens=10) == "short"
    assert excerpt("One sentence without an end " * 40, ["x"], tokens=5)
