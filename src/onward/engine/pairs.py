"""Calls and outputs come in pairs: enforced on what a request supplies and on the completed tail that it continues."""

from collections.abc import Sequence

from onward.core.errors import RequestError
from onward.core.items import CALL_TYPES, OUTPUT_OF, Item


def check_pairs(open_calls: Sequence[str], supplied: Sequence[Item]) -> None:
    """Raise RequestError for an orphaned output, an unanswered call or a lonely reasoning item."""
    waiting = dict.fromkeys(open_calls)
    for item in supplied:
        if item.type in CALL_TYPES and item.call_id:
            waiting[item.call_id] = None
        elif item.type in OUTPUT_OF and item.call_id is not None:
            if item.call_id not in waiting:
                kind = OUTPUT_OF[item.type].replace("_", " ")
                raise RequestError(f"No tool call found for {kind} output with call_id {item.call_id}.", param="input")
            del waiting[item.call_id]
    if waiting:
        raise RequestError(f"No tool output found for function call {next(iter(waiting))}.", param="input")
    _check_reasoning(supplied)


def _check_reasoning(supplied: Sequence[Item]) -> None:
    for item, follower in zip(supplied, [*supplied[1:], None], strict=False):
        if item.type == "reasoning" and (follower is None or follower.role in ("user", "system", "developer")):
            raise RequestError(
                f"Item '{item.id}' of type 'reasoning' was provided without its required following item.",
                param="input",
            )


def check_duplicates(supplied: Sequence[Item]) -> None:
    """Raise RequestError where two supplied items have one id."""
    seen: set[str] = set()
    for item in supplied:
        if item.id in seen:
            raise duplicate(item.id)
        seen.add(item.id)


def duplicate(item_id: str) -> RequestError:
    """Return the error for an item id that is already in the context."""
    return RequestError(
        f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again.",
        param="input",
    )


def paired(items: Sequence[Item], *, waiting: Sequence[str]) -> list[Item]:
    """Return `items` without halves: calls that never got an output (unless in `waiting`) and outputs without a call.

    A reasoning item goes with the call that it led to. Keeps a thread usable whatever died on it before.
    """
    called = {item.call_id for item in items if item.type in CALL_TYPES}
    answered = {item.call_id for item in items if item.type in OUTPUT_OF} | set(waiting)
    kept: list[Item] = []
    for item in items:
        if item.type in CALL_TYPES and item.call_id not in answered:
            while kept and kept[-1].type == "reasoning":
                kept.pop()
            continue
        if item.type in OUTPUT_OF and item.call_id is not None and item.call_id not in called:
            continue
        kept.append(item)
    return kept
