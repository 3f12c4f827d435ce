"""Conversations beyond what the random trees cover: metadata, locks by dead runs, references, branches."""

from pathlib import Path

import pytest
from building import after, begin, call, context, ending, ids, message, on, output, run_test, turn

from onward.core.errors import ConflictError, ConversationLocked, NotFoundError, RateLimitError, RequestError
from onward.core.items import encode, item_text
from onward.ports.runs import Page
from onward.store.sqlite.cursor import scalar
from onward.store.sqlite.flatten import MAX_SEGMENTS
from onward.store.sqlite.store import ProjectStore, SqliteStore


def test_metadata_is_kept_and_replaced(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        created = await project.conversations.create(metadata=b'{"a":"1"}', items=[])
        assert await project.conversations.get("conv_" + created.suffix) == created
        updated = await project.conversations.update("thread_" + created.suffix, metadata=b"{}")
        assert (updated.metadata, updated.created_at) == (b"{}", created.created_at)
        await project.conversations.delete("conv_" + created.suffix)
        for attempt in (
            project.conversations.get("conv_" + created.suffix),
            project.conversations.update("conv_" + created.suffix, metadata=b"{}"),
            project.conversations.delete("conv_" + created.suffix),
            project.conversations.append("conv_" + created.suffix, [message("user", "x")]),
            project.conversations.item("conv_" + created.suffix, "msg_1"),
            project.conversations.remove("conv_" + created.suffix, "msg_1"),
            project.conversations.page("conv_" + created.suffix, Page()),
        ):
            with pytest.raises(NotFoundError, match=r"Conversation with id 'conv_\w+' not found"):
                await attempt

    run_test(tmp_path, body)


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        twice = message("user", "x")
        with pytest.raises(RequestError, match="Duplicate item found with id"):
            await project.conversations.create(metadata=b"{}", items=[twice, twice])
        assert await project.runs.item(twice.id) is None

    run_test(tmp_path, body)


def test_a_dead_run_does_not_lock_edits(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        first = message("user", "first")
        created = await project.conversations.create(metadata=b"{}", items=[first])
        name = "conv_" + created.suffix
        for edit in (
            lambda: project.conversations.append(name, [message("user", "more")]),
            lambda: project.conversations.remove(name, first.id),
            lambda: project.conversations.delete(name),
        ):
            suffix, lease = await begin(project, on(created.suffix), [message("user", "q")])
            with pytest.raises(ConversationLocked):
                await edit()
            await project.runs.renew(lease, seconds=-1)
            await edit()
            run = await project.runs.get(suffix)
            assert run is not None and run.status == "failed"

    run_test(tmp_path, body)


def test_edits_do_not_reach_into_branches(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        first = message("user", "first")
        created = await project.conversations.create(metadata=b"{}", items=[first])
        name = "conv_" + created.suffix
        suffix = await turn(project, on(created.suffix))
        branch = await turn(project, after(suffix), "branch")
        await project.conversations.remove(name, first.id)
        later = await turn(project, on(created.suffix), "later")
        await project.conversations.delete(name)
        await store.sweep()
        assert first.id in ids(await context(project, after(suffix)))
        assert first.id in ids(await context(project, after(branch)))
        assert first.id not in ids(await context(project, after(later)))
        assert len(await context(project, after(await turn(project, after(suffix), "goes on")))) == 5

    run_test(tmp_path, body)


def test_cursors_survive_the_deletion_and_the_sweep_of_their_item(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        items = [message("user", str(number)) for number in range(5)]
        created = await project.conversations.create(metadata=b"{}", items=items)
        name = "conv_" + created.suffix
        await project.conversations.remove(name, items[2].id)
        await store.sweep()
        bodies = "SELECT count(*) FROM items WHERE body IS NOT NULL"
        assert await store.state.read(lambda c: scalar(c, bodies)) == 4
        page = await project.conversations.page(name, Page(limit=2, order="asc", after=items[2].id))
        assert (ids(page.items), page.has_more) == (ids(items[3:]), False)
        page = await project.conversations.page(name, Page(limit=1, order="desc", after=items[2].id))
        assert (ids(page.items), page.has_more) == ([items[1].id], True)
        with pytest.raises(NotFoundError) as caught:
            await project.conversations.page(name, Page(after="msg_never"))
        assert caught.value.param == "after"
        with pytest.raises(NotFoundError):
            await project.conversations.item(name, items[2].id)
        assert await project.runs.item(items[2].id) is None
        await project.conversations.append(name, [items[2]])
        assert (await project.conversations.item(name, items[2].id)) == items[2]

    run_test(tmp_path, body)


def test_references_find_the_newest_published_item(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        old = message("user", "old", item_id="msg_same")
        new = message("user", "new", item_id="msg_same")
        await project.conversations.create(metadata=b"{}", items=[old])
        assert await project.runs.item("msg_same") == old
        await project.conversations.create(metadata=b"{}", items=[new])
        assert await project.runs.item("msg_same") == new
        assert await project.runs.item("msg_other") is None

    run_test(tmp_path, body)


def test_calls_put_into_a_conversation_wait_for_their_outputs(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        calls = [call("c1"), call("c2")]
        created = await project.conversations.create(metadata=b"{}", items=calls)
        name = "conv_" + created.suffix
        assert (await project.runs.base(on(created.suffix))).open_calls == ("c1", "c2")
        await project.conversations.append(name, [output("c1")])
        assert (await project.runs.base(on(created.suffix))).open_calls == ("c2",)
        await project.conversations.remove(name, calls[1].id)
        assert (await project.runs.base(on(created.suffix))).open_calls == ()
        suffix, lease = await begin(project, on(created.suffix), [message("user", "q")])
        await project.runs.end(lease, ending([call("c3")], open_calls=("c3",)))
        assert (await project.runs.base(on(created.suffix))).open_calls == ("c3",)
        assert (await project.runs.base(after(suffix))).open_calls == ("c3",)

    run_test(tmp_path, body)


def test_a_deep_fork_reads_few_logs(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        conversations = project.conversations
        created = await conversations.create(metadata=b'{"a":"b"}', items=[message("user", "0")])
        expected = ["0"]
        for number in range(1, MAX_SEGMENTS + 6):
            created = await conversations.fork("conv_" + created.suffix)
            await conversations.append("conv_" + created.suffix, [message("user", str(number))])
            expected.append(str(number))
        base = await project.runs.base(on(created.suffix))
        assert len(base.lineage) <= MAX_SEGMENTS + 1 and base.items == len(expected)
        listed = await conversations.page("conv_" + created.suffix, Page(limit=100, order="asc"), messages_only=True)
        assert [item_text(item) for item in listed.items] == expected
        assert created.metadata == b'{"a":"b"}'
        await store.sweep()
        batches = [batch async for batch in conversations.items("conv_" + created.suffix)]
        assert [item_text(item) for batch in batches for item in batch] == expected

    run_test(tmp_path, body)


def test_a_fork_waits_for_the_calls_that_its_part_left_open(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        first, asked, answer = message("user", "q"), call("call_1"), output("call_1")
        created = await project.conversations.create(metadata=b"{}", items=[first, asked, answer])
        for last, waiting in ((first, ()), (asked, ("call_1",)), (answer, ())):
            fork = await project.conversations.fork("conv_" + created.suffix, up_to=last.id)
            assert (await project.runs.base(on(fork.suffix))).open_calls == waiting

    run_test(tmp_path, body)


def test_an_inherited_item_is_deleted_in_the_fork_alone(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        conversations = project.conversations
        items = [message("user", str(number)) for number in range(600)]
        created = await conversations.create(metadata=b"{}", items=items)
        fork = await conversations.fork("conv_" + created.suffix)
        name = "conv_" + fork.suffix
        later = [message("user", "later"), message("user", "last")]
        await conversations.append(name, later)
        suffix = await turn(project, on(fork.suffix))
        await conversations.remove(name, later[0].id)
        assert await conversations.remove(name, items[5].id) == fork
        assert len(await context(project, on(created.suffix))) == 600
        kept = ids(await context(project, on(fork.suffix)))
        assert len(kept) == 602 and items[5].id not in kept and later[0].id not in kept
        assert len(await context(project, after(suffix))) == 604
        for gone, following in ((items[5], items[6]), (later[0], later[1])):
            page = await conversations.page(name, Page(limit=1, order="asc", after=gone.id))
            assert ids(page.items) == [following.id]
        await conversations.delete("conv_" + created.suffix)
        await project.runs.delete(suffix)
        await store.sweep()
        assert ids(await context(project, on(fork.suffix))) == kept
        count = await store.state.read(lambda c: scalar(c, "SELECT count(*) FROM items WHERE body IS NOT NULL"))
        assert count == 602

    run_test(tmp_path, body)


def test_conversations_are_found_by_metadata_and_cursors_outlive_them(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        conversations = project.conversations
        odd = {'quo"te': "a\\b", "né": "\u00fc"}
        made = [
            await conversations.create(
                metadata=encode({"n": str(n % 2), "all": "x"} | (odd if n == 3 else {})), items=[]
            )
            for n in range(5)
        ]

        async def find(page: Page, **metadata: str) -> list[int]:
            found = await conversations.find(page, metadata=metadata)
            return [made.index(one) for one in found.conversations]

        assert await find(Page()) == [4, 3, 2, 1, 0]
        assert await find(Page(), n="1") == [3, 1]
        assert await find(Page(), n="0", all="x") == [4, 2, 0]
        assert await find(Page(), n="0", all="y") == []
        assert await find(Page(), **odd) == [3]
        cursor = "conv_" + made[2].suffix
        await conversations.delete(cursor)
        assert await find(Page(after=cursor, limit=1)) == [1]
        assert await find(Page(after=cursor), all="x", n="0") == [0]
        made[4] = await conversations.update("conv_" + made[4].suffix, metadata=b'{"n":"1"}')
        assert await find(Page(), n="1") == [4, 3, 1] and await find(Page(), all="x") == [3, 1, 0]
        with pytest.raises(NotFoundError):
            await find(Page(after="conv_no"))

    run_test(tmp_path, body)


def test_an_import_that_is_left_leaves_nothing(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        async with project.conversations.receive(metadata=b"{}", created_at=1.0) as incoming:
            await incoming.add([message("user", str(number)) for number in range(300)])
        await store.sweep()
        for table in ("items", "entries", "logs", "conversations"):
            assert await store.state.read(lambda c, t=table: scalar(c, f"SELECT count(*) FROM {t}")) == 0
        async with project.conversations.receive(metadata=b"{}", created_at=1.0) as incoming:
            await incoming.add([message("user", "a")])
            made = await incoming.finish("imported-1")
        await store.sweep()
        assert len(await context(project, on("imported-1"))) == 1
        assert await project.conversations.get("conv_imported-1") == made
        with pytest.raises(ConflictError):
            async with project.conversations.receive(metadata=b"{}", created_at=1.0) as incoming:
                await incoming.finish("imported-1")

    run_test(tmp_path, body)


def test_a_line_is_bounded_ordered_and_outlives_nobody(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        conversations = project.conversations
        created = await conversations.create(metadata=b"{}", items=[])
        name = "conv_" + created.suffix
        places = [await conversations.enter_line(name, limit=2, seconds=60) for _ in range(2)]
        with pytest.raises(RateLimitError) as full:
            await conversations.enter_line(name, limit=2, seconds=60)
        assert full.value.code == "conversation_queue_full"
        assert [await conversations.is_next(*place) for place in places] == [True, False]
        suffix, lease = await begin(project, on(created.suffix), [message("user", "q")])
        assert not await conversations.is_next(*places[0])
        await project.runs.end(lease, ending())
        assert await conversations.is_next(*places[0])
        await conversations.renew_place(*places[0], seconds=-1)
        assert await conversations.is_next(*places[1])
        third = await conversations.enter_line(name, limit=2, seconds=60)
        assert not await conversations.is_next(*third)
        await conversations.leave_line(*places[1])
        assert await conversations.is_next(*third)
        await conversations.delete(name)
        with pytest.raises(NotFoundError):
            await conversations.is_next(*third)
        assert await project.runs.get(suffix) is not None

    run_test(tmp_path, body)
