"""What happens between reading and claiming, and to what dead or removed things leave behind."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from building import after, begin, call, context, ending, hashes_of, ids, message, new_run, on, output, run_test, turn

from onward.core.errors import ConflictError, ConversationLocked
from onward.ports.runs import Page
from onward.store.sqlite.cursor import scalar
from onward.store.sqlite.flatten import MAX_SEGMENTS
from onward.store.sqlite.store import ProjectStore, SqliteStore


def test_two_turns_read_one_tip_and_both_go_on(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        root = await turn(project)
        base = await project.runs.base(after(root))
        news = [new_run(base, after(root), [message("user", "q")]) for _ in range(2)]
        leases = await asyncio.gather(*map(project.runs.begin, news))
        assert len({lease.log for lease in leases}) == 2
        for lease in leases:
            await project.runs.end(lease, ending([message("assistant", "a")]))
        for new in news:
            assert len(await context(project, after(new.suffix))) == 4

    run_test(tmp_path, body)


def test_a_turn_that_read_the_tip_before_another_ended_forks(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        root = await turn(project)
        stale = await project.runs.base(after(root))
        tip = await turn(project, after(root), "tip")
        new = new_run(stale, after(root), [message("user", "q")])
        lease = await project.runs.begin(new)
        assert lease.log != stale.log
        await project.runs.end(lease, ending([message("assistant", "a")]))
        root_items = ids(await context(project, after(root)))
        for suffix in (tip, new.suffix):
            items = ids(await context(project, after(suffix)))
            assert (items[:2], len(items)) == (root_items, 4)

    run_test(tmp_path, body)


def test_two_turns_read_one_conversation_and_one_wins(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        created = await project.conversations.create(metadata=b"{}", items=[])
        parent = on(created.suffix)
        base = await project.runs.base(parent)
        attempts = [project.runs.begin(new_run(base, parent, [message("user", "q")])) for _ in range(2)]
        won, lost = await asyncio.gather(*attempts, return_exceptions=True)
        assert not isinstance(won, BaseException)
        assert isinstance(lost, ConversationLocked)

    run_test(tmp_path, body)


def test_the_tip_of_a_dead_run_is_taken_over(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        root = await turn(project)
        dead, lease = await begin(project, after(root), [message("user", "q")])
        base = await project.runs.base(after(root))
        assert base.log is None
        await project.runs.renew(lease, seconds=-1)
        base = await project.runs.base(after(root))
        assert base.log == lease.log
        new = new_run(base, after(root), [message("user", "q")])
        assert (await project.runs.begin(new)).log == lease.log
        run = await project.runs.get(dead)
        assert run is not None and run.status == "failed"
        assert ids(await context(project, after(dead))) == ids(await context(project, after(root)))

    run_test(tmp_path, body)


def test_continuing_a_dead_run_settles_it(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        root = await turn(project)
        dead, lease = await begin(project, after(root), [message("user", "q")])
        await project.runs.renew(lease, seconds=-1)
        assert (await project.runs.base(after(dead))).items == 2
        assert len(await context(project, after(await turn(project, after(dead))))) == 4

    run_test(tmp_path, body)


def test_a_sent_history_that_was_swept_meanwhile_is_refused(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        suffix = await turn(project)
        items = await context(project, after(suffix))
        base = await project.runs.base(None, input_hashes=hashes_of(items))
        assert base.matched == 2
        await project.runs.delete(suffix)
        await store.sweep()
        with pytest.raises(ConflictError):
            await project.runs.begin(new_run(base, None, [message("user", "q")]))

    run_test(tmp_path, body)


def test_a_copy_of_a_history_that_shrank_meanwhile_is_refused_and_swept(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        suffix = await turn(project)
        while len((await project.runs.base(after(suffix))).lineage) <= MAX_SEGMENTS:
            await turn(project, after(suffix), "takes the tip")
            suffix = await turn(project, after(suffix), "forks")
        await turn(project, after(suffix), "takes the tip")
        base = await project.runs.base(after(suffix))
        gone = msgspec.structs.replace(base, items=base.items + 1)
        with pytest.raises(ConflictError):
            await project.runs.begin(new_run(gone, after(suffix), [message("user", "q")]))
        before = await store.state.read(lambda c: scalar(c, "SELECT count(*) FROM logs"))
        await store.state.write(lambda c: bool(c.execute("UPDATE garbage SET due = 0")))
        await store.sweep()
        assert await store.state.read(lambda c: scalar(c, "SELECT count(*) FROM logs")) == before - 1
        assert len(await context(project, after(suffix))) == base.items

    run_test(tmp_path, body)


def test_a_deleted_item_of_a_closed_conversation_goes_with_its_last_reader(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        gone, kept = message("user", "gone"), message("user", "kept")
        created = await project.conversations.create(metadata=b"{}", items=[gone, kept])
        name = "conv_" + created.suffix
        early = await turn(project, on(created.suffix), "early")
        await project.conversations.remove(name, gone.id)
        late = await turn(project, on(created.suffix), "late")
        await project.conversations.delete(name)
        await store.sweep()
        assert gone.id in ids(await context(project, after(early)))
        await project.runs.delete(early)
        await store.sweep()
        assert ids(await context(project, after(late)))[0] == kept.id
        found = await store.state.read(lambda c: scalar(c, "SELECT count(*) FROM items"))
        assert found == len(await context(project, after(late)))

    run_test(tmp_path, body)


def test_an_item_removed_from_its_conversation_stays_with_its_response(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        created = await project.conversations.create(metadata=b"{}", items=[])
        suffix = await turn(project, on(created.suffix))
        run = await project.runs.get(suffix)
        assert run is not None
        answer = (await project.runs.output(run))[0]
        await project.conversations.remove("conv_" + created.suffix, answer.id)
        await store.sweep()
        assert list(await project.runs.output(run)) == [answer]
        assert answer.id in ids(await context(project, after(suffix)))
        assert answer.id not in ids(await context(project, on(created.suffix)))

    run_test(tmp_path, body)


def test_a_configuration_about_to_be_dropped_is_taken_back_by_its_next_use(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        base = await project.runs.base(None)
        first = new_run(base, None, [message("user", "q")], config=b'{"a":1}')
        await project.runs.end(await project.runs.begin(first), ending([]))
        await store.state.write(lambda c: bool(c.execute("UPDATE configs SET condemned = 1")))
        await project.runs.begin(new_run(base, None, [message("user", "q")], config=b'{"a":1}'))
        assert await store.state.read(lambda c: c.execute("SELECT condemned FROM configs").fetchall()) == [(0,)]

    run_test(tmp_path, body)


def test_half_answered_calls_of_a_sent_history_stay_open(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        suffix, lease = await begin(project, None, [message("user", "q")])
        await project.runs.end(lease, ending([call("c1"), call("c2")], open_calls=("c1", "c2")))
        suffix, lease = await begin(project, after(suffix), [output("c1"), output("c2")])
        await project.runs.end(lease, ending([message("assistant", "a")]))
        items = await context(project, after(suffix))
        base = await project.runs.base(None, input_hashes=hashes_of([*items[:4], message("user", "other")]))
        assert (base.matched, base.open_calls) == (4, ("c2",))

    run_test(tmp_path, body)


def test_every_item_of_an_input_page_is_a_cursor(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        root = await turn(project)
        suffix, _lease = await begin(project, after(root), [message("user", text) for text in "abc"])
        run = await project.runs.get(suffix)
        assert run is not None
        everything = ids((await project.runs.input_page(run, Page(limit=10, order="asc"))).items)
        assert len(everything) == 5
        for index, name in enumerate(everything):
            pages = (Page(limit=1, order="asc", after=name), Page(limit=1, order="desc", after=name))
            for asked, rest in zip(pages, (everything[index + 1 :], everything[:index][::-1]), strict=True):
                page = await project.runs.input_page(run, asked)
                assert (ids(page.items), page.has_more) == (rest[:1], len(rest) > 1)

    run_test(tmp_path, body)
