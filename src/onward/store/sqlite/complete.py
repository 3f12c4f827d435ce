"""A run inserted with its end: what nobody could name while it was under way needs no lease and is written once."""

from onward.core.lineage import Lineage
from onward.ports.runs import Ending, NewRun
from onward.store.sqlite.claims import claim_log
from onward.store.sqlite.cursor import Cursor, Value
from onward.store.sqlite.encoding import pack_error, pack_names, pack_usage
from onward.store.sqlite.items import insert_items
from onward.store.sqlite.keyspace import KeySpace
from onward.store.sqlite.logs import add_entries, advance_log, hash_at, insert_log
from onward.store.sqlite.run_rows import INPUT, OUTPUT, add_run_items, insert_run
from onward.store.sqlite.turns import PUBLISHING, add_account


def complete(cursor: Cursor, keys: KeySpace, project: int, new: NewRun, ending: Ending) -> Lineage:
    """Insert a run, of any dialect but Assistants, with its input, output and end. Raises as Runs.complete says."""
    key = keys.take(cursor, "runs")
    claim = claim_log(cursor, keys, project, new)
    log = claim.log
    items = [*new.input, *ending.output]
    start = insert_items(cursor, keys, project, items, run=key)
    inputs = len(new.input)
    add_run_items(cursor, project, key, range(start, start + inputs), ordinal=0, side=INPUT)
    add_run_items(cursor, project, key, range(start + inputs, start + len(items)), ordinal=inputs, side=OUTPUT)
    publishes = ending.status in PUBLISHING
    calls = ending.open_calls if publishes else ()
    grown = log
    if publishes and items:
        grown = add_entries(
            cursor,
            project,
            log,
            list(enumerate(items, start)),
            running=hash_at(cursor, project, log, log.head),
            open_calls=calls,
            total=new.base.tokens,
            count=new.base.items,
        )
    if claim.fresh:
        insert_log(cursor, project, grown)
    elif grown is not log:
        advance_log(cursor, project, grown)
    ended: tuple[Value, ...] = (
        ending.ended_at,
        pack_names(calls),
        pack_usage(ending.usage),
        pack_error(ending.error),
        ending.incomplete_reason,
        ending.context_plan,
        *((None,) * 4 if grown is log else (grown.head, grown.version, grown.tokens, grown.items)),
    )
    insert_run(cursor, project, key, new, log, status=ending.status, conversation=claim.conversation, ended=ended)
    add_account(cursor, project, key, ending)
    return grown.lineage(grown.head, grown.version)
