"""Going on with a run whose process died, from what it recorded: the persisted items are the checkpoint.

Nothing is asked of the old process. A tool call that it had begun is never made again; the model is told, or asks anew.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec
from msgspec import Struct

from onward.core import compose
from onward.core.clock import now
from onward.core.errors import InternalError, OnwardError
from onward.core.events import Delta, Event, ItemClosed, ItemCut, ItemOpened, TurnStarted
from onward.core.items import CALL_TYPES, Item, encode
from onward.core.recording import pack_events, unpack_events
from onward.core.tools import ToolCall
from onward.core.turns import RunError, TurnRequest
from onward.core.usage import Usage
from onward.engine.context import ContextCache
from onward.engine.live import LiveRun
from onward.engine.loop import Turn
from onward.engine.output import Seed
from onward.engine.preparation import Prepared, prepare
from onward.engine.project import TurnProject
from onward.engine.run_state import RunState
from onward.engine.telling import Telling
from onward.ports.model import Models
from onward.ports.runs import Adopted, Ending, LeaseLost

log = logging.getLogger("onward.engine")

Revive = Callable[[Adopted], TurnRequest]
"""Makes the request of a stored run again; each dialect knows how it stored its own."""

LAST_WORDS: Final = frozenset({"message", "mcp_approval_request"})
"""Items that a turn may end with."""
SEARCHES: Final = frozenset({"file_search_call", "web_search_call"})
"""Calls whose results are not in their items: the model asks again."""


class Stock(Struct, frozen=True):
    """What a dead process left: its events, the items by output index, and what closes those that were open.

    `finished`: nothing is left to generate.
    """

    events: Sequence[Event]
    items: Mapping[int, Item]
    closing: Sequence[Event]
    finished: bool
    length: int

    @property
    def seed(self) -> Seed:
        """What the output of the resumed turn begins with."""
        calls = [_client_call(item) for item in self.items.values() if item.type == "function_call"]
        return Seed(
            items=[self.items.get(index) for index in range(self.length)],
            client_calls=calls,
            closing=self.closing,
            finished=self.finished,
            begun=any(isinstance(event, TurnStarted) for event in self.events),
            context=[item for _, item in sorted(self.items.items()) if item.type not in SEARCHES],
        )


def take_stock(events: Sequence[Event], recorded: Sequence[Item]) -> Stock:
    """Return what is left of a turn. A pure function of what it told and what it recorded."""
    opened = {event.index: event for event in events if isinstance(event, ItemOpened)}
    items = {event.index: event.item for event in events if isinstance(event, ItemClosed)}
    cut = {event.index for event in events if isinstance(event, ItemCut)}
    places = {event.id: index for index, event in opened.items()}
    length = max(opened, default=-1) + 1
    closing: list[Event] = []
    settled = False
    for item in recorded:
        index = places.get(item.id)
        if index in items:
            continue
        if index is None:
            index, length = length, length + 1
            closing.append(ItemOpened(index, item.id, item.type))
        if _status(item) == "in_progress":
            settled = True
            item = _interrupted(item)
        items[index] = item
        closing.append(ItemClosed(index, item))
    for index, event in sorted(opened.items()):
        if index not in items and index not in cut:
            cut.add(index)
            closing.append(ItemCut(index, _cut_item(event, events)))
    closing.sort(key=lambda event: event.index if isinstance(event, ItemOpened | ItemClosed | ItemCut) else -1)
    last = max(items, default=-1)
    calls = any(item.type in CALL_TYPES for item in items.values())
    ended = last >= 0 and items[last].type in LAST_WORDS and not settled and max(cut, default=-1) < last
    return Stock(events, items, closing, calls or ended, length)


async def resume(
    project: TurnProject,
    adopted: Adopted,
    revive: Revive,
    models: Models,
    cache: ContextCache,
    live: LiveRun,
    *,
    owner: str,
    slot: AbstractAsyncContextManager[None],
) -> tuple[Turn, RunState, Prepared] | None:
    """Return the turn that goes on with a run; None where it could only be ended, truthfully."""
    events = [event for batch in adopted.events for event in unpack_events(batch)]
    try:
        request = revive(adopted)
        model = await models.resolve(request.model)
        prepared = await prepare(project, request, model, cache, base=adopted.base)
    except LeaseLost:
        return None
    except Exception as error:  # noqa: BLE001 - the run must end, whatever is wrong with it
        await _give_up(project, adopted, events, error)
        return None
    stock = take_stock(events, adopted.output)
    state = RunState(
        project.runs,
        request,
        adopted.base,
        adopted.input,
        suffix=adopted.run.suffix,
        created_at=adopted.run.created_at,
        owner=owner,
        model=model,
        adopted=adopted.lease,
    )
    telling = Telling(request, state, live, _to_nobody)
    telling.resume(
        events, batches=len(adopted.events), recorded=stock.length, rows=[item.id for item in adopted.output]
    )
    turn = Turn(project, request, model, prepared, state, cache, telling, live, slot=slot, seed=stock.seed)
    return turn, state, prepared


async def _give_up(project: TurnProject, adopted: Adopted, events: Sequence[Event], error: Exception) -> None:
    if not isinstance(error, OnwardError):
        log.error("a run could not be taken over", exc_info=error)
        error = InternalError()
    ending = Ending(
        status="failed",
        output=[item for item in adopted.output if _status(item) != "in_progress"],
        usage=Usage(estimated=True),
        ended_at=now(),
        error=RunError(type(error).run_code, error.message),
        recording=pack_events(events) if adopted.run.stream else None,
    )
    try:
        await project.runs.end(adopted.lease, ending)
    except LeaseLost:
        return


async def _to_nobody(_events: Sequence[Event]) -> None:
    return None


class _Stated(Struct, frozen=True):
    status: str = "completed"
    call_id: str = ""
    name: str = ""
    arguments: str = ""


_read_stated = msgspec.json.Decoder(_Stated).decode
_read_fields = msgspec.json.Decoder(dict[str, object]).decode


def _status(item: Item) -> str:
    return _read_stated(item.body).status


def _client_call(item: Item) -> ToolCall:
    call = _read_stated(item.body)
    return ToolCall(call.call_id, call.name, call.arguments)


def _interrupted(item: Item) -> Item:
    """Return the item of a hosted call whose process died: it may have had its effect, so it is not made again."""
    fields = _read_fields(item.body)
    if item.type == "mcp_call":
        told = "The server stopped while the call was under way; its outcome is not known."
        fields |= {"error": {"type": "mcp_protocol_error", "code": -32603, "message": told}}
    return msgspec.structs.replace(item, body=encode(fields | {"status": "incomplete"}))


def _cut_item(opened: ItemOpened, events: Sequence[Event]) -> Item:
    """Return an item that was cut short, with what was told of it."""

    def told(*channels: str) -> str:
        return "".join(
            event.text
            for event in events
            if isinstance(event, Delta) and event.index == opened.index and event.channel in channels
        )

    match opened.type:
        case "message":
            text, refusal = told("text"), told("refusal")
            parts = [compose.text_part(text)] if text or not refusal else []
            parts += [compose.refusal_part(refusal)] if refusal else []
            return compose.message(opened.id, parts, text=text + refusal, status="incomplete")
        case "reasoning":
            return compose.reasoning(opened.id, told("reasoning"), status="incomplete")
        case "function_call":
            return compose.function_call(
                opened.id,
                call_id=opened.call_id or "",
                name=opened.name or "",
                arguments=told("arguments"),
                status="incomplete",
                namespace=opened.label,
            )
        case _:
            body = compose.hosted_members(
                opened.type, name=opened.name or "", label=opened.label, arguments=told("arguments")
            )
            return compose.hosted_call(opened.id, opened.type, body=body, status="incomplete")
