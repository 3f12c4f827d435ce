"""file_search as the engine uses it, over real stores: declared, checked, run, searched first, cited, extracted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw
from shelf import Shelf, opened

from onward.core.errors import NotFoundError, RequestError
from onward.core.items import read_file_search_call
from onward.core.tokens import estimate_tokens
from onward.core.tools import FileSearchTool, FunctionTool, HostedTool, ToolCall
from onward.egress.client import GuardedClient
from onward.ports.hosted import Outcome
from onward.ports.vector_stores import Attach, NewStore
from onward.retrieval.cite import SentenceCiter
from onward.retrieval.extract import extract_answer
from onward.retrieval.query import make_queries
from onward.tools.toolset import ProjectToolset

POLICY = (
    "# Refund policy\n\nPartial refunds are given within thirty days for goods that were opened but not used.\n\n"
    "## Digital goods\n\nDigital goods are refunded only before they are downloaded.\n\n"
    "## Shipping\n\nReturn shipping is paid by the customer unless the goods arrived damaged.\n"
)
HOURS = "# Opening hours\n\nThe shop is open from nine to six on weekdays and closed on Sundays.\n"


def toolset_of(shelf: Shelf) -> ProjectToolset:
    return ProjectToolset(
        vector_stores=shelf.stores,
        search=shelf.search,
        citers=SentenceCiter,
        extractor=extract_answer,
        query_maker=make_queries,
        egress=GuardedClient(),
    )


@asynccontextmanager
async def stocked(data: Path, embedder_dir: Path) -> AsyncGenerator[tuple[Shelf, ProjectToolset, FileSearchTool]]:
    async with opened(data, embedder_dir=embedder_dir) as shelf, shelf.working():
        files = [await shelf.upload(POLICY, "policy.md"), await shelf.upload(HOURS, "hours.md")]
        attached = [
            Attach(file_id=file.id, attributes={"kind": kind})
            for file, kind in zip(files, ("policy", "hours"), strict=True)
        ]
        store = await shelf.stores.create(NewStore(), attached)
        for file in files:
            assert (await shelf.settled(store.id, file.id)).status == "completed"
        yield shelf, toolset_of(shelf), FileSearchTool((store.id,))


def call(*queries: str) -> ToolCall:
    return ToolCall("call_1", "file_search", msgspec.json.encode({"queries": queries}).decode())


async def run(toolset: ProjectToolset, tool: FileSearchTool, asked: ToolCall) -> Outcome:
    async with toolset.session() as session:
        return await session.run(toolset.offers(tool)[0], asked)


def test_a_call_finds_passages_that_an_answer_cites(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        async with stocked(tmp_path, embedder_dir) as (_, toolset, tool):
            assert toolset.supports(tool) and toolset.offers(tool)[0].function.name == "file_search"
            await toolset.check(tool)
            asked = call("refund of digital goods")
            assert toolset.queries(asked) == ("refund of digital goods",)
            outcome = await run(toolset, tool, asked)
            seen = read_file_search_call(outcome.body)
            assert outcome.status == "completed" and seen.queries == ("refund of digital goods",)
            assert seen.results is not None and seen.results[0].filename == "policy.md"
            assert seen.results[0].attributes == {"kind": "policy"}
            answer = "We refund digital goods only before they are downloaded. Have a nice day!"
            citer = toolset.citer(outcome.passages)
            cited = [*citer.feed(answer[:30]), *citer.feed(answer[30:]), *citer.finish()]
            assert len(cited) == 1
            (citation,) = cited
            assert citation.kind == "file_citation" and citation.filename == "policy.md"
            assert citation.quote is not None and "Digital goods are refunded only before" in citation.quote
            assert citation.start_index == 0 and citation.end_index is not None
            assert answer[: citation.end_index].startswith("We refund digital goods")
            assert citation.document_start is not None
            assert POLICY[citation.document_start : citation.document_end] == citation.quote

    asyncio.run(main())


def test_filters_and_limits_of_the_declaration_hold(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        async with stocked(tmp_path, embedder_dir) as (_, toolset, tool):
            only = Raw(b'{"type":"eq","key":"kind","value":"hours"}')
            filtered = msgspec.structs.replace(tool, filters=only)
            found = await run(toolset, filtered, call("refund"))
            assert {passage.filename for passage in found.passages} == {"hours.md"}
            limited = msgspec.structs.replace(tool, max_num_results=1)
            assert len((await run(toolset, limited, call("refund", "opening hours"))).passages) == 1

    asyncio.run(main())


def test_a_call_without_queries_is_answered_with_how_to_ask(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, embedder_dir=embedder_dir) as shelf:
            outcome = await run(toolset_of(shelf), FileSearchTool(("vs_1",)), ToolCall("c", "file_search", "{"))
            assert outcome.status == "failed" and "queries" in outcome.answer

    asyncio.run(main())


def test_searching_first_understands_a_follow_up_and_knows_when_nothing_fits(
    tmp_path: Path, embedder_dir: Path
) -> None:
    async def main() -> None:
        async with stocked(tmp_path, embedder_dir) as (_, toolset, tool):
            first = "What does our refund policy say about partial refunds?"
            outcome = await toolset.search_first(tool, [first], limit=3)
            assert outcome is not None and outcome.passages[0].filename == "policy.md"
            assert "thirty days" in outcome.answer
            follow_up = await toolset.search_first(tool, [first, "And for digital goods specifically?"], limit=3)
            assert follow_up is not None and "Digital goods are refunded" in follow_up.answer
            assert toolset.extract([first, "And for digital goods specifically?"], follow_up.passages).startswith(
                "Digital goods are refunded only before"
            )
            assert await toolset.search_first(tool, ["How do volcanoes form under the ocean?"], limit=3) is None
            assert await toolset.search_first(tool, ["  "], limit=3) is None

    asyncio.run(main())


def test_passages_are_cut_to_what_a_small_model_reads(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, embedder_dir=embedder_dir) as shelf, shelf.working():
            filler = "This clause repeats general terms that nobody asked about at all. " * 40
            file = await shelf.upload(f"{filler}Partial refunds are given within thirty days. {filler}", "terms.txt")
            store = await shelf.stores.create(NewStore(), [Attach(file_id=file.id)])
            await shelf.settled(store.id, file.id)
            tool = FileSearchTool((store.id,))
            outcome = await toolset_of(shelf).search_first(
                tool, ["When are partial refunds given?"], limit=3, tokens=300
            )
            assert outcome is not None and "thirty days" in outcome.answer
            assert estimate_tokens(outcome.answer) < 400
            assert len(outcome.passages[0].text) > 1500

    asyncio.run(main())


def test_what_cannot_be_searched_is_refused_before_the_turn(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        async with stocked(tmp_path, embedder_dir) as (shelf, toolset, tool):
            with pytest.raises(NotFoundError, match="Vector store with id 'vs_nope' not found"):
                await toolset.check(FileSearchTool(("vs_nope",)))
            with pytest.raises(RequestError, match="at least one"):
                await toolset.check(FileSearchTool(()))
            with pytest.raises(RequestError):
                await toolset.check(msgspec.structs.replace(tool, filters=Raw(b'{"type":"odd"}')))
            assert not toolset.supports(FunctionTool("f")) and not toolset.supports(
                HostedTool("web_search", Raw(b"{}"))
            )
            await shelf.stores.delete(tool.vector_store_ids[0])
            late = await run(toolset, tool, call("refund"))
            assert late.status == "failed" and "not found" in late.answer

    asyncio.run(main())
