"""The visibility table, cell by cell, on a real store."""

from collections.abc import Collection
from pathlib import Path

import pytest
from building import begin, context, ending, ids, message, on, run_test
from visibility import ACTIVE, READERS, STATUSES, TABLE, Cell, Reader, Row

from onward.core.errors import ConversationLocked, RequestError
from onward.core.turns import AfterResponse
from onward.ports.runs import Page
from onward.store.sqlite.store import ProjectStore, SqliteStore

ALL = Page(limit=100, order="asc")
GIVEN = message("user", "given", item_id="msg_given")
MADE = message("assistant", "made", item_id="msg_made")


def test_the_table_has_every_cell_once() -> None:
    assert {(row.dialect, row.status) for row in TABLE} == {
        (dialect, status) for dialect in ("responses", "assistants") for status in STATUSES
    }
    assert len(TABLE) == 2 * len(STATUSES)
    assert all(set(row.cells) == set(READERS) for row in TABLE)


async def run_in(project: ProjectStore, row: Row) -> tuple[str, str]:
    """Bring a run on a new conversation into the row's state; return both suffixes."""
    conversation = await project.conversations.create(metadata=b"{}", items=[])
    suffix, lease = await begin(project, on(conversation.suffix), [GIVEN], dialect=row.dialect)
    if row.status in ACTIVE:
        await project.runs.record(lease, [MADE], first_index=0)
        await project.runs.transition(lease, row.status)
    else:
        await project.runs.end(lease, ending([MADE], status=row.status))
    return conversation.suffix, suffix


async def read(project: ProjectStore, reader: Reader, conversation: str, suffix: str) -> Collection[str]:
    """Return the ids that a reader sees."""
    run = await project.runs.get(suffix)
    assert run is not None
    match reader:
        case "run output":
            return ids(await project.runs.output(run))
        case "run input page":
            return ids((await project.runs.input_page(run, ALL)).items)
        case "conversation items":
            return ids((await project.conversations.page("conv_" + conversation, ALL)).items)
        case "thread messages":
            page = await project.conversations.page("thread_" + conversation, ALL, messages_only=True)
            return ids(page.items)
        case "item reference":
            found = [await project.runs.item(item.id) for item in (GIVEN, MADE)]
            return [item.id for item in found if item is not None]
        case "next turn on the conversation":
            return ids(await context(project, on(conversation)))
        case "next turn after the response":
            return ids(await context(project, AfterResponse("resp_" + suffix)))


EXPECTED: dict[Cell, set[str]] = {
    "both": {GIVEN.id, MADE.id},
    "input": {GIVEN.id},
    "output": {MADE.id},
    "neither": set(),
}


@pytest.mark.ledger("visibility:*")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.dialect}-{row.status}")
def test_cell(tmp_path: Path, row: Row, reader: Reader) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        conversation, suffix = await run_in(project, row)
        cell = row.cells[reader]
        if cell == "refused":
            with pytest.raises((ConversationLocked, RequestError)):
                await read(project, reader, conversation, suffix)
            return
        seen = await read(project, reader, conversation, suffix)
        assert len(seen) == len(set(seen))
        assert set(seen) == EXPECTED[cell]

    run_test(tmp_path, body)
