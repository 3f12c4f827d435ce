"""Random trees of turns, conversations, edits, deaths and sweeps, against an oracle of plain lists.

The oracle knows no logs, versions or lineages: a run is the list it continued and the list it left, a conversation is
a list. After every step each reader of both dialects must see exactly what the oracle says, and a sweep must leave
exactly what is reachable.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from building import after, call, ending, hashes_of, ids, message, new_run, on, output, prepare
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onward.core.errors import ConversationLocked, NotFoundError, PreviousResponseNotFound, RequestError
from onward.core.items import Item, item_text
from onward.core.turns import Dialect, Parent, RunStatus
from onward.ports.runs import Base, Lease, Page
from onward.store.sqlite.cursor import scalar
from onward.store.sqlite.store import SqliteStore

ALL = Page(limit=1000, order="asc")
TEXTS = st.sampled_from(["a", "b"])


class OracleConversation:
    def __init__(self, suffix: str, items: list[Item]) -> None:
        self.suffix = suffix
        self.items = items
        self.deleted: set[str] = set()
        self.active: OracleRun | None = None
        self.open = True

    def visible(self) -> list[Item]:
        return [item for item in self.items if item.id not in self.deleted]


class OracleRun:
    def __init__(
        self, suffix: str, dialect: Dialect, lease: Lease, base: list[Item], on: OracleConversation | None
    ) -> None:
        self.suffix = suffix
        self.dialect: Dialect = dialect
        self.lease = lease
        self.status: RunStatus = "in_progress"
        self.base = base
        self.base_calls: tuple[str, ...] = ()
        self.input: list[Item] = []
        self.output: list[Item] = []
        self.others: list[Item] = []
        self.published: list[Item] | None = None
        self.calls: tuple[str, ...] = ()
        self.on = on
        self.live = True
        self.recorded = 0
        self.order: list[Item] = []

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "incomplete", "failed", "cancelled", "expired")

    def context(self) -> list[Item]:
        return self.base if self.published is None else self.published

    def open_calls(self) -> tuple[str, ...]:
        if self.status == "requires_action" or self.published is not None:
            return self.calls
        return self.base_calls

    def publish(self, items: Sequence[Item]) -> None:
        self.published = [*self.context(), *items]
        if self.on is not None:
            self.on.items.extend(items)

    def finish(self, status: RunStatus) -> None:
        self.status = status
        if self.on is not None and self.on.active is self:
            self.on.active = None


class Tree(RuleBasedStateMachine):
    """One store and its oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        prepare(Path(directory))
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.store: SqliteStore = self.do(SqliteStore.open(Path(directory), node="n"))
        project = self.store.for_project(self.store.default_project)
        self.runs_of = project.runs
        self.conversations_of = project.conversations
        self.runs: list[OracleRun] = []
        self.conversations: list[OracleConversation] = []
        self.count = 0

    def do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.do(self.store.close())
        self.stack.close()

    def items(self, texts: list[str], role: str = "user") -> list[Item]:
        return [message(role, text) for text in texts]

    def active_runs(self) -> list[OracleRun]:
        return [run for run in self.runs if run.live and run.status == "in_progress"]

    def open_conversations(self) -> list[OracleConversation]:
        return [conversation for conversation in self.conversations if conversation.open]

    # Conversations

    @rule(texts=st.lists(TEXTS, max_size=3), role=st.sampled_from(["user", "assistant", "system"]))
    def create(self, texts: list[str], role: str) -> None:
        items = self.items(texts, role)
        created = self.do(self.conversations_of.create(metadata=b'{"a":"b"}', items=items))
        self.conversations.append(OracleConversation(created.suffix, items))

    @precondition(lambda self: self.open_conversations())
    @rule(data=st.data(), texts=st.lists(TEXTS, min_size=1, max_size=3))
    def append(self, data: st.DataObject, texts: list[str]) -> None:
        conversation = data.draw(st.sampled_from(self.open_conversations()))
        items = self.items(texts)
        attempt = self.conversations_of.append("conv_" + conversation.suffix, items)
        if conversation.active is not None:
            with pytest.raises(ConversationLocked):
                self.do(attempt)
            return
        self.do(attempt)
        conversation.items.extend(items)
        if conversation.visible():
            again = conversation.visible()[0]
            with pytest.raises(RequestError, match="Duplicate item found with id"):
                self.do(self.conversations_of.append("conv_" + conversation.suffix, [again]))

    @precondition(lambda self: any(c.visible() for c in self.open_conversations()))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        conversation = data.draw(st.sampled_from([c for c in self.open_conversations() if c.visible()]))
        item = data.draw(st.sampled_from(conversation.visible()))
        attempt = self.conversations_of.remove("thread_" + conversation.suffix, item.id)
        if conversation.active is not None:
            with pytest.raises(ConversationLocked):
                self.do(attempt)
            return
        self.do(attempt)
        conversation.deleted.add(item.id)
        with pytest.raises(NotFoundError):
            self.do(self.conversations_of.item("conv_" + conversation.suffix, item.id))

    @precondition(lambda self: self.open_conversations())
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        conversation = data.draw(st.sampled_from(self.open_conversations()))
        attempt = self.conversations_of.delete("conv_" + conversation.suffix)
        if conversation.active is not None:
            with pytest.raises(ConversationLocked):
                self.do(attempt)
            return
        self.do(attempt)
        conversation.open = False

    @precondition(lambda self: self.open_conversations())
    @rule(data=st.data(), midst=st.booleans())
    def fork(self, data: st.DataObject, midst: bool) -> None:
        origin = data.draw(st.sampled_from(self.open_conversations()))
        items = origin.visible()
        last = data.draw(st.sampled_from(items)) if midst and items else None
        name = "conv_" + origin.suffix
        made = self.do(self.conversations_of.fork(name, up_to=last.id if last else None))
        inherited = items if last is None else items[: items.index(last) + 1]
        self.conversations.append(OracleConversation(made.suffix, list(inherited)))
        with pytest.raises(NotFoundError):
            self.do(self.conversations_of.fork(name, up_to="msg_x"))

    @precondition(lambda self: any(c.items for c in self.open_conversations()))
    @rule(data=st.data(), limit=st.integers(1, 4), order=st.sampled_from(["asc", "desc"]), only=st.booleans())
    def page(self, data: st.DataObject, limit: int, order: Any, only: bool) -> None:
        conversation = data.draw(st.sampled_from([c for c in self.open_conversations() if c.items]))
        cursor = st.none() | st.sampled_from([item.id for item in conversation.items])
        first, last = data.draw(cursor), data.draw(cursor)
        page = Page(limit=limit, order=order, after=first, before=last)
        got = self.do(self.conversations_of.page("conv_" + conversation.suffix, page, messages_only=only))
        listed = conversation.items if order == "asc" else conversation.items[::-1]
        names = ids(listed)
        low = names.index(first) + 1 if first else 0
        high = names.index(last) if last else len(listed)
        wanted = [item for item in listed[low:high] if item.id not in conversation.deleted and _listed(item, only)]
        backwards = last is not None and first is None
        expected = wanted[-limit:] if backwards else wanted[:limit]
        assert ids(got.items) == ids(expected)
        assert got.has_more == (len(wanted) > limit)

    # Turns

    def parents(self) -> list[tuple[Parent | None, list[Item], tuple[str, ...] | None, OracleConversation | None]]:
        found: list[Any] = [(None, [], (), None)]
        for run in self.runs:
            if run.live and run.ended:
                found.append((after(run.suffix), run.context(), run.open_calls(), None))
        for conversation in self.open_conversations():
            if conversation.active is None:
                found.append((on(conversation.suffix), conversation.visible(), None, conversation))
        return found

    @rule(data=st.data(), texts=st.lists(TEXTS, max_size=2), dialect=st.sampled_from(["responses", "assistants"]))
    def begin(self, data: st.DataObject, texts: list[str], dialect: Dialect) -> None:
        parent, base_items, calls, conversation = data.draw(st.sampled_from(self.parents()))
        base: Base = self.do(self.runs_of.base(parent))
        given = [output(name) for name in base.open_calls] + self.items(texts)
        self.start(base, parent, base_items, given, dialect, conversation)
        if calls is not None:
            assert base.open_calls == calls

    def start(
        self,
        base: Base,
        parent: Parent | None,
        base_items: list[Item],
        given: list[Item],
        dialect: Dialect,
        conversation: OracleConversation | None,
    ) -> None:
        new = new_run(base, parent, given, dialect=dialect, config=b'{"n":%d}' % (self.count % 3))
        self.count += 1
        lease = self.do(self.runs_of.begin(new))
        run = OracleRun(new.suffix, dialect, lease, list(base_items), conversation)
        run.base_calls = base.open_calls
        run.input = given
        run.order = list(given)
        if conversation is not None:
            conversation.active = run
        if dialect == "assistants" and given:
            run.publish(given)
        self.runs.append(run)

    @precondition(lambda self: any(run.live and run.published and run.ended for run in self.runs))
    @rule(data=st.data(), cut=st.integers(0, 3), text=TEXTS)
    def resend(self, data: st.DataObject, cut: int, text: str) -> None:
        source = data.draw(st.sampled_from([run for run in self.runs if run.live and run.published and run.ended]))
        history = source.context()
        history = history[: max(1, len(history) - cut)]
        base: Base = self.do(self.runs_of.base(None, input_hashes=hashes_of(history)))
        matched = self.do(self.runs_of.context(base.lineage))
        assert len(matched) == base.matched == base.items
        assert [_content(item) for item in matched] == [_content(item) for item in history[: base.matched]]
        if self.is_chain(source):
            assert base.matched == len(history)
        if base.matched:
            rest = [output(name) for name in base.open_calls] + self.items([text])
            self.start(base, None, list(matched), rest, "responses", None)

    def is_chain(self, run: OracleRun) -> bool:
        """Tell whether no conversation is part of the run's history."""
        base = self.do(self.runs_of.base(after(run.suffix)))
        return bool(base.hash)

    @precondition(lambda self: self.active_runs())
    @rule(data=st.data(), texts=st.lists(TEXTS, min_size=1, max_size=2))
    def record(self, data: st.DataObject, texts: list[str]) -> None:
        run = data.draw(st.sampled_from(self.active_runs()))
        items = self.items(texts, "assistant")
        self.do(self.runs_of.record(run.lease, items, first_index=len(run.output)))
        self.note(run, items)

    def note(self, run: OracleRun, items: list[Item]) -> None:
        run.output.extend(items)
        run.order.extend(items)
        if run.dialect == "assistants":
            run.publish(items)

    @precondition(lambda self: self.active_runs())
    @rule(
        data=st.data(),
        texts=st.lists(TEXTS, max_size=2),
        status=st.sampled_from(["completed", "incomplete", "failed", "cancelled", "expired", "completed"]),
        calls=st.booleans(),
        repeat=st.booleans(),
    )
    def end(self, data: st.DataObject, texts: list[str], status: RunStatus, calls: bool, repeat: bool) -> None:
        run = data.draw(st.sampled_from(self.active_runs()))
        items = self.items(texts, "assistant")
        names: tuple[str, ...] = ()
        if calls:
            items.append(call(f"call_{run.suffix}"))
            names = (f"call_{run.suffix}",)
        sent = [*run.output, *items] if repeat else items
        self.do(self.runs_of.end(run.lease, ending(sent, status=status, open_calls=names)))
        self.note(run, items)
        good = status in ("completed", "incomplete")
        if run.dialect == "responses" and good and run.order:
            run.publish(run.order)
        run.calls = names if good else ()
        run.finish(status)

    @precondition(lambda self: any(run.dialect == "assistants" for run in self.active_runs()))
    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.active_runs() if run.dialect == "assistants"]))
        name = f"call_{run.suffix}_{len(run.output)}"
        items = [call(name)]
        self.do(self.runs_of.record(run.lease, items, first_index=len(run.output)))
        self.note(run, items)
        self.do(self.runs_of.transition(run.lease, "requires_action"))
        run.status = "requires_action"
        run.calls = (name,)

    @precondition(lambda self: any(run.live and run.status == "requires_action" for run in self.runs))
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        waiting = [run for run in self.runs if run.live and run.status == "requires_action"]
        run = data.draw(st.sampled_from(waiting))
        with pytest.raises(RequestError):
            self.do(self.runs_of.resume(run.suffix, outputs=[output("other")], owner="n", lease_seconds=60))
        items = [output(name) for name in run.calls]
        run.lease = self.do(self.runs_of.resume(run.suffix, outputs=items, owner="n", lease_seconds=60))
        run.others.extend(items)
        run.order.extend(items)
        run.publish(items)
        run.calls = ()
        run.status = "in_progress"

    @precondition(lambda self: self.active_runs())
    @rule(data=st.data(), settle=st.booleans())
    def die(self, data: st.DataObject, settle: bool) -> None:
        run = data.draw(st.sampled_from(self.active_runs()))
        self.do(self.runs_of.renew(run.lease, seconds=-1))
        run.calls = ()
        run.finish("failed")
        if settle:
            assert self.do(self.store.recovery.settle_expired()) >= 1

    # Removal

    @precondition(lambda self: any(run.live for run in self.runs))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.runs if run.live]))
        assert self.do(self.runs_of.delete("resp_" + run.suffix))
        assert not self.do(self.runs_of.delete(run.suffix))
        run.live = False
        if run.on is not None and run.on.active is run:
            run.on.active = None

    @rule()
    def sweep(self) -> None:
        self.do(self.store.recovery.settle_expired())
        self.do(self.store.sweep())
        reachable: set[str] = set()
        for run in self.runs:
            if run.live:
                reachable.update(ids([*run.base, *run.input, *run.output, *run.others, *run.context()]))
        for conversation in self.open_conversations():
            reachable.update(ids(conversation.visible()))
        kept = self.do(self.store.state.read(lambda c: scalar(c, "SELECT count(*) FROM items WHERE body IS NOT NULL")))
        assert kept == len(reachable)
        configs = self.do(self.store.state.read(lambda c: scalar(c, "SELECT count(*) FROM configs")))
        assert configs <= 3 and (configs == 0) == (not any(run.live for run in self.runs))

    # What every reader must see

    @invariant()
    def runs_read_true(self) -> None:
        for run in self.runs:
            got = self.do(self.runs_of.get(run.suffix))
            if not run.live:
                assert got is None
                with pytest.raises(PreviousResponseNotFound):
                    self.do(self.runs_of.base(after(run.suffix)))
                continue
            assert got is not None
            assert got.status == run.status
            assert ids(self.do(self.runs_of.output(got))) == ids(run.output)
            listed = self.do(self.runs_of.input_page(got, ALL))
            assert ids(listed.items) == ids([*run.base, *run.input])
            assert ids(self.do(self.runs_of.context(got.end))) == ids(run.context())
            if run.status == "in_progress":
                with pytest.raises(RequestError, match="not finished"):
                    self.do(self.runs_of.base(after(run.suffix)))
                continue
            self.check_base(self.do(self.runs_of.base(after(run.suffix))), run.context(), run.open_calls())

    @invariant()
    def conversations_read_true(self) -> None:
        for conversation in self.conversations:
            name = "conv_" + conversation.suffix
            if not conversation.open:
                with pytest.raises(NotFoundError):
                    self.do(self.conversations_of.page(name, ALL))
                continue
            visible = conversation.visible()
            assert ids(self.do(self.conversations_of.page(name, ALL)).items) == ids(visible)
            messages = self.do(self.conversations_of.page(name, ALL, messages_only=True)).items
            assert ids(messages) == ids([item for item in visible if _listed(item, True)])
            if conversation.active is not None:
                with pytest.raises(ConversationLocked):
                    self.do(self.runs_of.base(on(conversation.suffix)))
            else:
                self.check_base(self.do(self.runs_of.base(on(conversation.suffix))), visible, None)

    def check_base(self, base: Base, items: list[Item], calls: tuple[str, ...] | None) -> None:
        assert ids(self.do(self.runs_of.context(base.lineage))) == ids(items)
        newest = self.do(self.runs_of.context(base.lineage, token_budget=11))
        assert ids(newest) == ids(_newest(items, 11))
        assert base.items == len(items)
        assert base.tokens == sum(item.tokens for item in items)
        if calls is not None:
            assert base.open_calls == calls
        if items:
            assert self.do(self.runs_of.contains(base.lineage, ["msg_x", items[-1].id])) == items[-1].id


def _newest(items: Sequence[Item], budget: int) -> list[Item]:
    found: list[Item] = []
    for item in reversed(items):
        budget -= item.tokens
        if budget < 0:
            break
        found.insert(0, item)
    return found


def _listed(item: Item, messages_only: bool) -> bool:
    return not messages_only or (item.type == "message" and item.role in ("user", "assistant"))


def _content(item: Item) -> tuple[str, str | None, str, str | None]:
    return item.type, item.role, item_text(item), item.call_id


TestTree = Tree.TestCase
TestTree.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
