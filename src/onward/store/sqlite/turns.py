"""The life of a run as transactions: begin, record, wait, resume, end. Each function runs inside one write."""

from collections.abc import Sequence
from typing import Final

from onward.core.errors import (
    NotFoundError,
    RequestError,
)
from onward.core.items import CALL_TYPES, OUTPUT_OF, Item
from onward.core.lineage import Lineage
from onward.core.turns import TERMINAL, RunStatus
from onward.ports.runs import Ending, Lease, LeaseLost, NewRun
from onward.store.sqlite.claims import claim_log
from onward.store.sqlite.cursor import Cursor, Value
from onward.store.sqlite.encoding import (
    STATUS_NUMBER,
    pack_error,
    pack_id,
    pack_names,
    pack_usage,
)
from onward.store.sqlite.idempotency import claim_run
from onward.store.sqlite.items import insert_items, replace_body
from onward.store.sqlite.keyspace import KeySpace
from onward.store.sqlite.leases import (
    check_lease,
    drop_lease,
    insert_lease,
    liveness,
    release,
    settle,
    take_lease,
)
from onward.store.sqlite.logs import Log, get_log, insert_log, publish
from onward.store.sqlite.run_rows import (
    INPUT,
    OUTPUT,
    SUBMITTED,
    RunItem,
    RunRow,
    add_run_items,
    find_row,
    get_row,
    insert_run,
    run_items,
)

PUBLISHING: Final[frozenset[RunStatus]] = frozenset({"completed", "incomplete"})

_PUBLISHED = """
UPDATE runs SET "end" = ?4, end_version = ?5, end_tokens = ?6, end_items = ?7
WHERE project = ?1 AND log = ?2 AND key = ?3
"""
_STATUS = "UPDATE runs SET status = ?4, open_calls = ?5 WHERE project = ?1 AND log = ?2 AND key = ?3"
_END = """
UPDATE runs SET status = ?4, completed_at = ?5, open_calls = ?6, usage = ?7, error = ?8, incomplete_reason = ?9,
  context_plan = ?10 WHERE project = ?1 AND log = ?2 AND key = ?3
"""
_END_PUBLISHED = """
UPDATE runs SET status = ?4, completed_at = ?5, open_calls = ?6, usage = ?7, error = ?8, incomplete_reason = ?9,
  context_plan = ?10, "end" = ?11, end_version = ?12, end_tokens = ?13, end_items = ?14
WHERE project = ?1 AND log = ?2 AND key = ?3
"""
_MODEL_CALL = """
INSERT INTO model_calls (project, run, ordinal, upstream, model, started_at, ended_at, finish_reason, usage, first_item,
  last_item) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_RECORDING = "INSERT OR REPLACE INTO recordings (run, project, body) VALUES (?, ?, ?)"
_STEP = """
INSERT INTO steps (project, run, ordinal, suffix, kind, status, started_at, ended_at, first_item, last_item)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def begin(cursor: Cursor, keys: KeySpace, project: int, new: NewRun) -> Lease:
    """Insert a run with its input, on the tip of its log or on a new one. Raises as Runs.begin says."""
    key = keys.take(cursor, "runs")
    claim = claim_log(cursor, keys, project, new)
    log = claim.log
    if claim.fresh:
        insert_log(cursor, project, log)
    if new.claim is not None:
        claim_run(cursor, project, new.claim, new.suffix)
    insert_run(cursor, project, key, new, log, status=new.status, conversation=claim.conversation)
    start = insert_items(cursor, keys, project, new.input, run=key)
    numbered = list(enumerate(new.input, start))
    add_run_items(cursor, project, key, [number for number, _ in numbered], ordinal=0, side=INPUT)
    if new.dialect == "assistants" and numbered:
        _publish_on(cursor, project, key, log, numbered, total=new.base.tokens, count=new.base.items)
    return insert_lease(
        cursor, project, log.key, key, owner=new.owner, seconds=new.lease_seconds, expires_at=new.expires_at
    )


def _publish_on(
    cursor: Cursor, project: int, run: int, log: Log, items: Sequence[tuple[int, Item]], *, total: int, count: int
) -> Log:
    """Publish items of a run that goes on."""
    answered = {item.call_id for _, item in items if item.type in OUTPUT_OF}
    still_open = tuple(call for call in log.open_calls if call not in answered)
    grown = publish(cursor, project, log, items, open_calls=still_open, total=total, count=count)
    cursor.execute(_PUBLISHED, (project, log.key, run, grown.head, grown.version, grown.tokens, grown.items))
    return grown


def _leased(cursor: Cursor, project: int, lease: Lease) -> tuple[RunRow, Log]:
    check_lease(cursor, project, lease)
    row = get_row(cursor, project, lease.log, lease.run)
    log = None if row is None else get_log(cursor, project, row.log)
    if row is None or log is None or row.status in TERMINAL:
        raise LeaseLost
    return row, log


def _totals(row: RunRow) -> tuple[int, int]:
    if row.end_tokens is None or row.end_items is None:
        return row.tokens, row.items
    return row.end_tokens, row.end_items


def _store_output(
    cursor: Cursor, keys: KeySpace, project: int, row: RunRow, items: Sequence[Item], kept: Sequence[RunItem]
) -> list[RunItem]:
    """Write what is new of `items` and return it; an item recorded before under its id takes its final body."""
    known = {entry.item.id: entry for entry in kept if entry.side == OUTPUT}
    fresh: list[Item] = []
    for item in items:
        entry = known.get(item.id)
        if entry is None:
            fresh.append(item)
        elif entry.item.body != item.body:
            replace_body(cursor, project, entry.key, item)
    start = insert_items(cursor, keys, project, fresh, run=row.key)
    ordinal = kept[-1].ordinal + 1 if kept else 0
    added = [RunItem(ordinal + i, OUTPUT, start + i, item) for i, item in enumerate(fresh)]
    add_run_items(cursor, project, row.key, [entry.key for entry in added], ordinal=ordinal, side=OUTPUT)
    return added


def record(cursor: Cursor, keys: KeySpace, project: int, lease: Lease, items: Sequence[Item], first_index: int) -> None:
    """Write closed output items of a run that goes on; Assistants publish them at once. Raises LeaseLost."""
    row, log = _leased(cursor, project, lease)
    kept = run_items(cursor, project, row.key)
    if first_index > sum(entry.side == OUTPUT for entry in kept):
        raise ValueError(f"output items before index {first_index} were not recorded")
    added = _store_output(cursor, keys, project, row, items, kept)
    if row.dialect == "assistants" and added:
        total, count = _totals(row)
        numbered = [(entry.key, entry.item) for entry in added]
        _publish_on(cursor, project, row.key, log, numbered, total=total, count=count)


def transition(cursor: Cursor, project: int, lease: Lease, status: RunStatus) -> None:
    """Move a run on; requires_action notes the calls it waits for and drops the lease. Raises LeaseLost."""
    row, _ = _leased(cursor, project, lease)
    calls: tuple[str, ...] = ()
    if status == "requires_action":
        items = [entry.item for entry in run_items(cursor, project, row.key)]
        answered = {item.call_id for item in items if item.type in OUTPUT_OF}
        calls = tuple(i.call_id for i in items if i.type in CALL_TYPES and i.call_id and i.call_id not in answered)
        drop_lease(cursor, project, row.log, row.key)
    cursor.execute(_STATUS, (project, row.log, row.key, STATUS_NUMBER[status], pack_names(calls)))


def resume(
    cursor: Cursor, keys: KeySpace, project: int, suffix: str, outputs: Sequence[Item], *, owner: str, seconds: float
) -> Lease | None:
    """Append tool outputs to a waiting run and lease it. None where it had expired and was settled instead."""
    row = find_row(cursor, project, suffix)
    log = None if row is None else get_log(cursor, project, row.log)
    if row is None or log is None:
        raise NotFoundError(f"No run found with id '{suffix}'.")
    if row.status != "requires_action":
        raise RequestError(f'Runs in status "{row.status}" do not accept tool outputs.')
    state = liveness(cursor, project, row.log, row.key)
    if state != "alive":
        settle(cursor, project, row.log, row.key, state=state)
        return None
    given = [item.call_id for item in outputs]
    if sorted(map(str, given)) != sorted(row.open_calls):
        raise RequestError(
            f"Expected tool outputs for call_ids {list(row.open_calls)}, got {given}.", param="tool_outputs"
        )
    start = insert_items(cursor, keys, project, outputs, run=row.key)
    numbered = list(enumerate(outputs, start))
    kept = run_items(cursor, project, row.key)
    ordinal = kept[-1].ordinal + 1 if kept else 0
    add_run_items(cursor, project, row.key, [key for key, _ in numbered], ordinal=ordinal, side=SUBMITTED)
    if row.dialect == "assistants":
        total, count = _totals(row)
        _publish_on(cursor, project, row.key, log, numbered, total=total, count=count)
    cursor.execute(_STATUS, (project, row.log, row.key, STATUS_NUMBER["in_progress"], None))
    return take_lease(cursor, project, row.log, row.key, owner=owner, seconds=seconds)


def end(cursor: Cursor, keys: KeySpace, project: int, lease: Lease, ending: Ending) -> Lineage:
    """End a run, publish what its dialect publishes, and release its claim. Raises LeaseLost."""
    row, log = _leased(cursor, project, lease)
    kept = run_items(cursor, project, row.key)
    added = _store_output(cursor, keys, project, row, ending.output, kept)
    final = {item.id: item for item in ending.output}
    published: Sequence[RunItem] = ()
    if row.dialect == "assistants":
        published = added
    elif ending.status in PUBLISHING:
        published = [*kept, *added]
    calls = ending.open_calls if ending.status in PUBLISHING else ()
    values: tuple[Value, ...] = (
        project,
        row.log,
        row.key,
        STATUS_NUMBER[ending.status],
        ending.ended_at,
        pack_names(calls),
        pack_usage(ending.usage),
        pack_error(ending.error),
        ending.incomplete_reason,
        ending.context_plan,
    )
    lineage = row.ends(log)
    if published:
        total, count = _totals(row)
        numbered = [(p.key, final.get(p.item.id, p.item) if p.side == OUTPUT else p.item) for p in published]
        log = publish(cursor, project, log, numbered, open_calls=calls, total=total, count=count)
        cursor.execute(_END_PUBLISHED, (*values, log.head, log.version, log.tokens, log.items))
        lineage = log.lineage(log.head, log.version)
    else:
        cursor.execute(_END, values)
    release(cursor, project, log.key, row.key)
    add_account(cursor, project, row.key, ending)
    return lineage


def add_account(cursor: Cursor, project: int, run: int, ending: Ending) -> None:
    """Insert the model calls, the steps and the recording of a run that has ended."""
    if ending.recording is not None:
        cursor.execute(_RECORDING, (run, project, ending.recording))
    if ending.model_calls:
        cursor.executemany(
            _MODEL_CALL,
            [
                (
                    project,
                    run,
                    call.ordinal,
                    call.upstream,
                    call.model,
                    call.started_at,
                    call.ended_at,
                    call.finish_reason,
                    pack_usage(call.usage),
                    call.first_item,
                    call.last_item,
                )
                for call in ending.model_calls
            ],
        )
    if ending.steps:
        cursor.executemany(
            _STEP,
            [
                (
                    project,
                    run,
                    ordinal,
                    pack_id(step.suffix),
                    int(step.kind == "tool_calls"),
                    STATUS_NUMBER[step.status],
                    step.started_at,
                    step.ended_at,
                    step.first_item,
                    step.last_item,
                )
                for ordinal, step in enumerate(ending.steps)
            ],
        )
