"""Prompts in the store: configurations shared with runs and swept with them, changes that race."""

from pathlib import Path

import pytest
from building import begin, ending, run_test

from onward.core.errors import ConflictError, NotFoundError
from onward.ports.runs import Page
from onward.store.sqlite.cursor import scalar
from onward.store.sqlite.store import ProjectStore, SqliteStore

CONFIGURATION = b'{"instructions":"Greet."}'


async def configs(store: SqliteStore) -> int:
    await store.sweep()
    return await store.state.read(lambda cursor: scalar(cursor, "SELECT count(*) FROM configs"))


def test_equal_configurations_are_stored_once_and_kept_while_a_prompt_has_them(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        first = await project.prompts.create(CONFIGURATION, prompt_id=None, name=None, metadata=b"{}")
        second = await project.prompts.create(CONFIGURATION, prompt_id=None, name="two", metadata=b"{}")
        assert await configs(store) == 1
        suffix, lease = await begin(project)
        await project.runs.end(lease, ending())
        await project.runs.delete(suffix)
        assert await configs(store) == 1
        await project.prompts.delete(first.id)
        assert await configs(store) == 1
        assert (await project.prompts.get(second.id)).configuration == CONFIGURATION
        await project.prompts.delete(second.id)
        assert await configs(store) == 0

    run_test(tmp_path, body)


def test_a_change_that_comes_too_late_adds_nothing(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        made = await project.prompts.create(b"{}", prompt_id="pmpt_a", name=None, metadata=b"{}")
        added = await project.prompts.add("pmpt_a", CONFIGURATION, number=None, select=True, after=made.current)
        assert added is not None and added.number == 2
        assert await project.prompts.add("pmpt_a", b"{}", number=None, select=True, after=made.current) is None
        listed = await project.prompts.versions("pmpt_a", Page(order="asc"))
        assert [version.number for version in listed.versions] == [1, 2]
        with pytest.raises(ConflictError):
            await project.prompts.add("pmpt_a", b"{}", number=2, select=False)
        with pytest.raises(NotFoundError):
            await project.prompts.select("pmpt_a", 3)

    run_test(tmp_path, body)


def test_an_id_can_be_used_again_once_its_prompt_was_deleted(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        await project.prompts.create(b"{}", prompt_id="pmpt_a", name="old", metadata=b"{}", number=5)
        with pytest.raises(ConflictError):
            await project.prompts.create(b"{}", prompt_id="pmpt_a", name=None, metadata=b"{}")
        await project.prompts.delete("pmpt_a")
        with pytest.raises(NotFoundError):
            await project.prompts.version("pmpt_a", None)
        again = await project.prompts.create(b"{}", prompt_id="pmpt_a", name=None, metadata=b"{}")
        assert (again.current, again.name) == (1, None)
        with pytest.raises(NotFoundError):
            await project.prompts.versions("pmpt_a", Page(after="5"))

    run_test(tmp_path, body)
