"""What a WebSocket remembers: the last response of each lane where it was not stored, so that it can be continued.

It ends with the connection. Older responses give way where all of them together are too large.
"""

from typing import Final

import msgspec
from msgspec import Struct

from onward.core.items import CALL_TYPES, Item
from onward.core.turns import Parent, TurnRequest
from onward.engine.pairs import paired

MAX_BYTES: Final = 64 * 1024 * 1024
"""Items that one connection remembers."""


class Remembered(Struct, frozen=True):
    """A response that no store has: what it continued, and the items after that, its own output included."""

    id: str
    parent: Parent | None
    items: tuple[Item, ...]

    def continued(self, turn: TurnRequest) -> TurnRequest:
        """Return a turn that names this response as its previous one such that no store needs to know it."""
        return msgspec.structs.replace(turn, parent=self.parent, input=(*self.items, *turn.input))


class Memory:
    """The responses of one connection, at most one for each lane."""

    def __init__(self, *, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._last: dict[str | None, Remembered] = {}
        """The lane whose response is the oldest comes first."""
        self._sizes: dict[str | None, int] = {}
        self._total = 0

    def find(self, response_id: str | None) -> Remembered | None:
        """Return a response by its id, whatever lane it came from."""
        return next((one for one in self._last.values() if one.id == response_id), None)

    def keep(self, lane: str | None, response: Remembered) -> None:
        """Remember the last response of a lane; the one before it is forgotten. One that is too large is none."""
        self.forget(lane)
        size = sum(len(item.body) for item in response.items)
        if size > self._limit:
            return
        self._last[lane] = response
        self._sizes[lane] = size
        self._total += size
        while self._total > self._limit:
            self.forget(next(iter(self._last)))

    def forget(self, lane: str | None) -> None:
        """Forget the last response of a lane, where it has one."""
        if self._last.pop(lane, None) is not None:
            self._total -= self._sizes.pop(lane)

    def evict(self, response_id: str | None) -> None:
        """Forget a response, because a turn that continued it failed."""
        for lane, one in tuple(self._last.items()):
            if one.id == response_id:
                self.forget(lane)


class _Status(Struct, frozen=True):
    status: str | None = None


_read_status = msgspec.json.Decoder(_Status).decode


def continuable(output: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return an output as the next turn's input: without calls that were cut short, and reasoning that led nowhere."""
    waiting = [
        item.call_id
        for item in output
        if item.type in CALL_TYPES and item.call_id and _read_status(item.body).status != "incomplete"
    ]
    kept = paired(output, waiting=waiting)
    while kept and kept[-1].type == "reasoning":
        kept.pop()
    return tuple(kept)
