"""Stored chat completions on a real store: by creation, filtered, labelled, deleted, and seen by nobody else."""

from pathlib import Path

import msgspec
import pytest
from building import begin, ending, ids, message, new_run, run_test, turn

from onward.core.errors import NotFoundError, PreviousResponseNotFound
from onward.core.ids import new_suffix
from onward.core.turns import AfterResponse, RunStatus
from onward.ports.completions import CompletionPage
from onward.ports.runs import Base, Page
from onward.store.sqlite.store import ProjectStore, SqliteStore

UP = Page(order="asc")


async def complete(
    project: ProjectStore,
    text: str = "q",
    *,
    model: str = "m",
    metadata: bytes = b"{}",
    status: RunStatus = "completed",
) -> str:
    """Store a completion of one question and one answer, and return its suffix."""
    new = new_run(Base(), None, [message("user", text)], dialect="chat")
    new = msgspec.structs.replace(new, model=model, metadata=metadata)
    await project.runs.complete(new, ending([message("assistant", f"re {text}")], status=status))
    return new.suffix


def suffixes(page: CompletionPage) -> list[str]:
    return [one.run.suffix for one in page.completions]


def test_finished_runs_of_the_dialect_are_listed_by_creation_with_their_answers(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        await turn(project)
        made = sorted([await complete(project, str(number)) for number in range(5)])
        for status in ("failed", "cancelled"):
            await complete(project, status=status)
        await begin(project, items=[message("user", "under way")], dialect="chat")
        first = await project.completions.page(Page(order="asc", limit=3))
        assert suffixes(first) == made[:3] and first.has_more
        rest = await project.completions.page(Page(order="asc", limit=3, after=made[2]))
        assert suffixes(rest) == made[3:] and not rest.has_more
        assert suffixes(await project.completions.page(Page(after=made[3]))) == made[2::-1]
        assert all(len(one.output) == 1 and one.output[0].role == "assistant" for one in first.completions)

    run_test(tmp_path, body)


def test_filters_are_exact(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        one = await complete(project, metadata=b'{"team":"a","a.b\\"[0]":"x"}')
        two = await complete(project, model="other", metadata=b'{"team":"a"}')
        await complete(project)

        async def found(model: str | None = None, **metadata: str) -> list[str]:
            return suffixes(await project.completions.page(UP, model=model, metadata=metadata))

        assert await found(team="a") == sorted([one, two])
        assert await found(model="other") == [two]
        assert await found(**{"team": "a", 'a.b"[0]': "x"}) == [one]
        assert await found(team="A") == await found(model="m", team="b") == []

    run_test(tmp_path, body)


def test_a_deleted_completion_stays_a_cursor_and_what_never_was_is_none(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        made = sorted([await complete(project) for _ in range(3)])
        assert await project.completions.delete(made[1])
        assert not await project.completions.delete(made[1])
        assert await project.completions.get(made[1]) is None
        assert suffixes(await project.completions.page(Page(order="asc", after=made[1]))) == made[2:]
        response = await turn(project)
        for cursor in (new_suffix(), "nonsense", response):
            with pytest.raises(NotFoundError):
                await project.completions.page(Page(after=cursor))
        assert not await project.completions.delete(response)
        assert await project.runs.get(response) is not None

    run_test(tmp_path, body)


def test_metadata_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        suffix = await complete(project, metadata=b'{"a":"1"}')
        before = await project.completions.get(suffix)
        after = await project.completions.update(suffix, metadata=b'{"b":"2"}')
        assert before is not None and after is not None
        assert after.run == msgspec.structs.replace(before.run, metadata=b'{"b":"2"}')
        assert ids(after.output) == ids(before.output)
        assert await project.completions.update(new_suffix(), metadata=b"{}") is None
        assert await project.completions.update(await turn(project), metadata=b"{}") is None

    run_test(tmp_path, body)


def test_a_completion_is_no_previous_response_and_belongs_to_its_project(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        suffix = await complete(project)
        with pytest.raises(PreviousResponseNotFound):
            await project.runs.base(AfterResponse("resp_" + suffix))
        other = store.for_project(await store.project("other"))
        assert await other.completions.get(suffix) is None and not await other.completions.delete(suffix)
        assert suffixes(await other.completions.page(UP)) == []

    run_test(tmp_path, body)
