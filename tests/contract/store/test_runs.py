"""Runs one behaviour at a time: forks, fences, recovery, re-sent history, pages, and what a turn costs in bytes."""

from pathlib import Path

import msgspec
import pytest
from building import (
    after,
    begin,
    call,
    context,
    ending,
    hashes_of,
    ids,
    message,
    new_run,
    on,
    output,
    run_test,
    turn,
)

from onward.core.errors import ConflictError, ConversationLocked, NotFoundError, PreviousResponseNotFound, RequestError
from onward.core.items import Item
from onward.core.turns import TERMINAL, RunError
from onward.core.usage import Usage
from onward.ports.conversations import Conversations
from onward.ports.keys import Keys
from onward.ports.runs import Base, Ending, Lease, LeaseLost, ModelCall, Page, Recovery, Runs, Step
from onward.store.sqlite.cursor import scalar
from onward.store.sqlite.flatten import MAX_SEGMENTS
from onward.store.sqlite.store import ProjectStore, SqliteStore


def test_the_store_has_the_ports(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        runs: Runs = project.runs
        conversations: Conversations = project.conversations
        recovery: Recovery = store.recovery
        keys: Keys = store.keys
        assert runs and conversations and recovery and keys

    run_test(tmp_path, body)


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        first = await turn(project)
        base = await project.runs.base(after(first))
        new = msgspec.structs.replace(
            new_run(base, after(first), [message("user", "q")], config=b'{"tools":[1]}'),
            extra=b'{"x":1}',
            metadata=b'{"k":"v"}',
            background=True,
            stream=True,
        )
        lease = await project.runs.begin(new)
        usage = Usage(10, 20, 3, 4, 5, True)
        model_call = ModelCall(
            ordinal=0,
            upstream="u",
            model="m",
            started_at=1.0,
            ended_at=2.0,
            finish_reason="length",
            usage=usage,
            first_item=0,
            last_item=1,
        )
        step = Step(
            suffix="0" * 32,
            kind="tool_calls",
            status="completed",
            started_at=1.0,
            ended_at=2.0,
            first_item=0,
            last_item=0,
        )
        reasoning = Item("rs_1", "reasoning", b'{"id":"rs_1","type":"reasoning","future":[1]}', None, None, 7)
        await project.runs.end(
            lease,
            Ending(
                status="incomplete",
                output=[reasoning, message("assistant", "a")],
                usage=usage,
                ended_at=9.0,
                incomplete_reason="max_output_tokens",
                model_calls=[model_call],
                steps=[step],
                recording=b"\x01\x02",
                context_plan=b"plan",
            ),
        )
        run = await project.runs.get("resp_" + new.suffix)
        assert run is not None
        assert (run.suffix, run.dialect, run.status, run.model) == (new.suffix, "responses", "incomplete", "m")
        assert (run.config, run.extra, run.metadata) == (new.config, new.extra, new.metadata)
        assert (run.background, run.stream, run.completed_at) == (True, True, 9.0)
        assert (run.parent_response, run.conversation) == ("resp_" + first, None)
        assert (run.usage, run.error, run.incomplete_reason) == (usage, None, "max_output_tokens")
        assert (await project.runs.output(run))[0] == reasoning
        assert await project.runs.recording(run) == b"\x01\x02"
        assert await project.runs.get("run_" + new.suffix) == run
        assert await project.runs.delete(new.suffix)
        assert await project.runs.recording(run) is None

    run_test(tmp_path, body)


def test_projects_do_not_see_one_another(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        other = store.for_project(await store.project("other"))
        conversation = await project.conversations.create(metadata=b"{}", items=[message("user", "x")])
        suffix = await turn(project, on(conversation.suffix))
        items = await context(project, after(suffix))
        assert await other.runs.get(suffix) is None
        assert await other.runs.item(items[0].id) is None
        assert not await other.runs.delete(suffix)
        assert await other.runs.context((await project.runs.base(after(suffix))).lineage) == []
        with pytest.raises(NotFoundError):
            await other.conversations.get("conv_" + conversation.suffix)
        with pytest.raises(PreviousResponseNotFound):
            await other.runs.base(after(suffix))

    run_test(tmp_path, body)


def test_a_suffix_is_given_once(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        new = new_run(Base(), None, [message("user", "q")])
        await project.runs.begin(new)
        with pytest.raises(ConflictError):
            await project.runs.begin(new)

    run_test(tmp_path, body)


def test_a_zombie_is_fenced_out(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        conversation = await project.conversations.create(metadata=b"{}", items=[])
        suffix, zombie = await begin(project, on(conversation.suffix), [message("user", "q")], dialect="assistants")
        await project.runs.record(zombie, [call("c1")], first_index=0)
        await project.runs.transition(zombie, "requires_action")
        with pytest.raises(LeaseLost):
            await project.runs.renew(zombie, seconds=10)
        lease = await project.runs.resume(suffix, outputs=[output("c1")], owner="b", lease_seconds=60)
        assert lease.fence > zombie.fence
        for attempt in (
            project.runs.record(zombie, [message("assistant", "late")], first_index=1),
            project.runs.transition(zombie, "cancelling"),
            project.runs.end(zombie, ending([])),
            project.runs.renew(zombie, seconds=10),
        ):
            with pytest.raises(LeaseLost):
                await attempt
        await project.runs.renew(lease, seconds=-1)
        assert await store.recovery.settle_expired() == 1
        assert await store.recovery.settle_expired() == 0
        with pytest.raises(LeaseLost):
            await project.runs.end(lease, ending([]))
        run = await project.runs.get(suffix)
        assert run is not None and run.status == "failed" and run.error is not None
        # What Assistants had published stays, and the thread goes on.
        assert len(await context(project, on(conversation.suffix))) == 3

    run_test(tmp_path, body)


def test_a_waiting_run_expires(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        for touch in ("base", "resume", "get"):
            conversation = await project.conversations.create(metadata=b"{}", items=[])
            parent = on(conversation.suffix)
            base = await project.runs.base(parent)
            new = new_run(base, parent, [message("user", "q")], dialect="assistants", expires_at=1.0)
            lease = await project.runs.begin(new)
            await project.runs.record(lease, [call("c1")], first_index=0)
            await project.runs.renew(lease, seconds=60)
            await project.runs.transition(lease, "requires_action")
            if touch == "base":
                assert (await project.runs.base(parent)).open_calls == ()
            elif touch == "resume":
                with pytest.raises(RequestError, match="expired"):
                    await project.runs.resume(new.suffix, outputs=[output("c1")], owner="n", lease_seconds=1)
            run = await project.runs.get(new.suffix)
            assert run is not None and run.status == "expired"
            assert run.error is not None and run.error.code == "run_expired"

    run_test(tmp_path, body)


def test_a_waiting_run_is_named_by_the_response_that_chains_on_it(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        conversation = await project.conversations.create(metadata=b"{}", items=[])
        suffix, lease = await begin(project, on(conversation.suffix), [message("user", "q")], dialect="assistants")
        await project.runs.record(lease, [call("c1"), call("c2")], first_index=0)
        await project.runs.transition(lease, "requires_action")
        base = await project.runs.base(after(suffix))
        assert (base.waiting_run, base.open_calls) == (suffix, ("c1", "c2"))
        with pytest.raises(ConversationLocked):
            await project.runs.base(on(conversation.suffix))
        with pytest.raises(RequestError, match="c1"):
            await project.runs.resume(suffix, outputs=[output("c1")], owner="n", lease_seconds=1)
        with pytest.raises(NotFoundError):
            await project.runs.resume("0" * 32, outputs=[], owner="n", lease_seconds=1)
        outputs = [output("c2"), output("c1")]
        lease = await project.runs.resume("run_" + suffix, outputs=outputs, owner="n", lease_seconds=1)
        await project.runs.end(lease, ending([message("assistant", "done")]))
        with pytest.raises(RequestError, match="completed"):
            await project.runs.resume(suffix, outputs=outputs, owner="n", lease_seconds=1)
        run = await project.runs.get(suffix)
        assert run is not None
        assert [item.type for item in await project.runs.output(run)] == ["function_call", "function_call", "message"]
        assert ids(await context(project, after(suffix)))[3:5] == ids(outputs)

    run_test(tmp_path, body)


def test_open_calls_survive_a_failed_continuation(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        suffix, lease = await begin(project, None, [message("user", "q")])
        await project.runs.end(lease, ending([call("c1")], open_calls=("c1",)))
        failed, lease = await begin(project, after(suffix), [output("c1")])
        await project.runs.end(
            lease,
            Ending(status="failed", output=[], usage=Usage(), ended_at=1.0, error=RunError("server_error", "no")),
        )
        base = await project.runs.base(after(failed))
        assert base.open_calls == ("c1",)
        assert base.lineage == (await project.runs.base(after(suffix))).lineage
        run = await project.runs.get(failed)
        assert run is not None and run.error == RunError("server_error", "no")

    run_test(tmp_path, body)


def test_a_recorded_attempt_takes_its_final_body(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        suffix, lease = await begin(project, None, [message("user", "q")])
        attempt = Item("fs_1", "file_search_call", b'{"id":"fs_1","status":"searching"}', None, None, 1)
        final = Item("fs_1", "file_search_call", b'{"id":"fs_1","status":"completed"}', None, None, 9)
        await project.runs.record(lease, [attempt], first_index=0)
        run = await project.runs.get(suffix)
        assert run is not None and list(await project.runs.output(run)) == [attempt]
        with pytest.raises(ValueError, match="not recorded"):
            await project.runs.record(lease, [message("assistant", "a")], first_index=2)
        answer = message("assistant", "a")
        await project.runs.end(lease, ending([final, answer]))
        assert list(await project.runs.output(run)) == [final, answer]
        assert (await context(project, after(suffix)))[1:] == [final, answer]
        assert (await project.runs.base(after(suffix))).tokens == 5 + 9 + 5

    run_test(tmp_path, body)


def test_a_run_that_loses_the_race_for_a_conversation_is_refused(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        conversation = await project.conversations.create(metadata=b"{}", items=[])
        parent = on(conversation.suffix)
        stale = await project.runs.base(parent)
        await project.conversations.append(parent.conversation_id, [message("user", "between")])
        with pytest.raises(ConversationLocked):
            await project.runs.begin(new_run(stale, parent, [message("user", "q")]))
        assert await turn(project, parent)

    run_test(tmp_path, body)


def test_input_pages_run_over_the_whole_chain(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        conversation = await project.conversations.create(metadata=b"{}", items=[message("user", "0")])
        suffix = await turn(project, on(conversation.suffix), "1")
        for text in ("2", "3"):
            suffix = await turn(project, after(suffix), text)
        run = await project.runs.get(suffix)
        assert run is not None
        everything = ids((await project.runs.input_page(run, Page(limit=100, order="asc"))).items)
        assert len(everything) == 6
        deleted = everything[1]
        await project.conversations.remove("conv_" + conversation.suffix, deleted)
        for order in ("asc", "desc"):
            seen: list[str] = []
            cursor: str | None = None
            while True:
                page = await project.runs.input_page(run, Page(limit=2, order=order, after=cursor))
                seen += ids(page.items)
                cursor = seen[-1]
                if not page.has_more:
                    break
            assert seen == (everything if order == "asc" else everything[::-1])
        page = await project.runs.input_page(run, Page(limit=2, order="asc", before=everything[4]))
        assert ids(page.items) == everything[2:4] and page.has_more
        with pytest.raises(NotFoundError):
            await project.runs.input_page(run, Page(after="msg_unknown"))

    run_test(tmp_path, body)


def test_deleting_an_active_run_frees_its_conversation(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        conversation = await project.conversations.create(metadata=b"{}", items=[])
        suffix, lease = await begin(project, on(conversation.suffix), [message("user", "q")])
        assert await project.runs.delete(suffix)
        with pytest.raises(LeaseLost):
            await project.runs.end(lease, ending([]))
        assert await turn(project, on(conversation.suffix))

    run_test(tmp_path, body)


def test_a_history_swept_between_base_and_begin_is_refused(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        suffix = await turn(project)
        base = await project.runs.base(after(suffix))
        await project.runs.delete(suffix)
        await store.sweep()
        with pytest.raises(PreviousResponseNotFound):
            await project.runs.begin(new_run(base, after(suffix), [message("user", "q")]))
        assert await store.state.read(lambda c: scalar(c, "SELECT count(*) FROM items")) == 0

    run_test(tmp_path, body)


def test_a_branch_keeps_what_it_builds_on(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        root = await turn(project, None, "root")
        tip = await turn(project, after(root), "tip")
        branch = await turn(project, after(root), "branch")
        twig = await turn(project, after(tip), "twig")
        items = ids(await context(project, after(branch)))
        for name in (root, twig, tip):
            await project.runs.delete(name)
            await store.sweep()
        assert ids(await context(project, after(branch))) == items
        assert await store.state.read(lambda c: scalar(c, "SELECT count(*) FROM items")) == 4
        await project.runs.delete(branch)
        await store.sweep()
        for table in ("items", "logs", "entries", "branches", "run_items", "aliases", "garbage", "leases"):
            assert await store.state.read(lambda c, t=table: scalar(c, f"SELECT count(*) FROM {t}")) == 0

    run_test(tmp_path, body)


def test_a_long_log_is_swept_in_parts(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        kept = await turn(project)
        items = [message("user", str(number)) for number in range(700)]
        suffix, lease = await begin(project, after(kept), items)
        await project.runs.end(lease, ending([message("assistant", "a")]))
        await project.runs.delete(suffix)
        assert await store.sweep() >= 701
        assert await store.sweep() == 0
        assert len(await context(project, after(kept))) == 2
        assert len(await context(project, after(await turn(project, after(kept))))) == 4

    run_test(tmp_path, body)


def test_forks_of_forks_are_flattened(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        texts = ["q"]
        suffix = await turn(project)
        chain = [suffix]
        for number in range(3 * MAX_SEGMENTS):
            await turn(project, after(suffix), "the tip is taken")
            suffix = await turn(project, after(suffix), str(number))
            chain.append(suffix)
            texts.append(str(number))
            assert len((await project.runs.base(after(suffix))).lineage) <= MAX_SEGMENTS + 2
        items = await context(project, after(suffix))
        assert len(items) == 2 * len(texts)
        base = await project.runs.base(after(suffix))
        assert (base.items, base.tokens) == (len(items), sum(item.tokens for item in items))
        found = await project.runs.base(None, input_hashes=hashes_of(items))
        assert found.matched == len(items)
        for name in chain[:-1]:
            await project.runs.delete(name)
        await store.sweep()
        assert ids(await context(project, after(suffix))) == ids(items)

    run_test(tmp_path, body)


def test_a_history_sent_again_costs_what_is_new(tmp_path: Path) -> None:
    async def resend(project: ProjectStore, turns: int) -> None:
        history: list[Item] = []
        for number in range(turns):
            history.append(message("user", f"question {number} " + "q" * 100))
            base = await project.runs.base(None, input_hashes=hashes_of(history[:-1]))
            assert base.matched == len(history) - 1
            lease = await project.runs.begin(new_run(base, None, history[base.matched :]))
            answer = message("assistant", f"answer {number} " + "a" * 100)
            await project.runs.end(lease, ending([answer]))
            # The client sends easy messages back, not what it was given.
            history.append(message("assistant", f"answer {number} " + "a" * 100))
        assert await store_count(project, "logs") == 1

    async def chain(project: ProjectStore, turns: int) -> None:
        suffix: str | None = None
        for number in range(turns):
            parent = after(suffix) if suffix else None
            suffix, lease = await begin(project, parent, [message("user", f"question {number} " + "q" * 100)])
            await project.runs.end(lease, ending([message("assistant", f"answer {number} " + "a" * 100)]))

    async def store_count(project: ProjectStore, table: str) -> int:
        return await project.runs._state.read(lambda c: scalar(c, f"SELECT count(*) FROM {table}"))

    async def resent(_: SqliteStore, project: ProjectStore) -> None:
        await resend(project, 200)

    async def chained(_: SqliteStore, project: ProjectStore) -> None:
        await chain(project, 200)

    sizes: list[int] = []
    for name, body in (("resent", resent), ("chained", chained)):
        run_test(tmp_path / name, body)
        sizes.append((tmp_path / name / "state.db").stat().st_size)
    assert sizes[0] <= 2 * sizes[1]


def test_an_edited_history_forks_where_it_was_edited(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        suffix = await turn(project, None, "1")
        suffix = await turn(project, after(suffix), "2")
        items = list(await context(project, after(suffix)))
        edited = [*items[:2], message("user", "another"), message("assistant", "answer")]
        base = await project.runs.base(None, input_hashes=hashes_of(edited))
        assert (base.matched, base.items, base.tokens, base.log) == (2, 2, 10, None)
        new = new_run(base, None, edited[2:])
        lease: Lease = await project.runs.begin(new)
        await project.runs.end(lease, ending([message("assistant", "new")]))
        assert ids(await context(project, after(new.suffix)))[:4] == ids(edited)
        assert ids(await context(project, after(suffix))) == ids(items)
        assert (await project.runs.base(None, input_hashes=hashes_of([message("user", "never")]))) == Base()
        assert (await project.runs.base(None)) == Base()

    run_test(tmp_path, body)


def test_calls_that_the_rest_of_a_sent_history_answers_are_open(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        suffix, lease = await begin(project, None, [message("user", "q")])
        await project.runs.end(lease, ending([call("c1"), call("c2")], open_calls=("c1", "c2")))
        items = list(await context(project, after(suffix)))
        base = await project.runs.base(None, input_hashes=hashes_of([*items, output("c2")]))
        assert (base.matched, base.open_calls) == (3, ("c1", "c2"))

    run_test(tmp_path, body)


def test_a_turn_costs_little_beyond_its_content(tmp_path: Path) -> None:
    turns = 200
    content = 0

    async def body(_: SqliteStore, project: ProjectStore) -> None:
        nonlocal content
        suffix: str | None = None
        config = b'{"tools":"' + b"t" * 20_000 + b'"}'
        for number in range(turns):
            parent = after(suffix) if suffix else None
            question, answer = message("user", f"question {number}"), message("assistant", f"answer {number} " * 9)
            content += len(question.body) + len(answer.body)
            new = new_run(await project.runs.base(parent), parent, [question], config=config)
            suffix = new.suffix
            await project.runs.end(await project.runs.begin(new), ending([answer]))

    async def nothing(_: SqliteStore, __: ProjectStore) -> None:
        """Leave the tables alone."""

    run_test(tmp_path / "empty", nothing)
    run_test(tmp_path / "used", body)
    grown = (tmp_path / "used" / "state.db").stat().st_size - (tmp_path / "empty" / "state.db").stat().st_size
    assert (grown - content) / turns <= 1536


def test_reading_what_a_turn_continues_does_not_grow_with_the_history(tmp_path: Path) -> None:
    async def body(store: SqliteStore, project: ProjectStore) -> None:
        suffix = await turn(project)
        steps: list[int] = []
        for number in range(120):
            before = _statements(store)
            await project.runs.base(after(suffix))
            steps.append(_statements(store) - before)
            suffix = await turn(project, after(suffix), str(number))
        assert max(steps) == steps[0]

    def _statements(store: SqliteStore) -> int:
        return store.state._writer.cache_stats()["hits"] + store.state._writer.cache_stats()["misses"]

    run_test(tmp_path, body)


def test_statuses_that_end_a_run_are_all_stored(tmp_path: Path) -> None:
    async def body(_: SqliteStore, project: ProjectStore) -> None:
        for status in sorted(TERMINAL):
            suffix = await turn(project, None, "q", status=status)
            run = await project.runs.get(suffix)
            assert run is not None and run.status == status

    run_test(tmp_path, body)
