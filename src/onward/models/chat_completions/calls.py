"""Fragments of tool calls as upstreams send them → calls numbered densely, each with an id and a name from its first
event.

Upstreams differ: some repeat id and name, some leave out the index or send 0 for every call, some give no id.
"""

import os

from onward.models.chat_completions.wire import CallPart
from onward.ports.model import CallDelta


def new_call_id() -> str:
    """Return a fresh id for a call that the upstream gave none."""
    return f"call_{os.urandom(12).hex()}"


class CallAssembler:
    """Gives each fragment its call."""

    def __init__(self) -> None:
        self.count = 0
        self._open: dict[int, tuple[int, str | None]] = {}

    def add(self, part: CallPart) -> CallDelta | None:
        """Return the event of `part`; None for a fragment that adds nothing."""
        name = part.function.name if part.function is not None else None
        arguments = (part.function.arguments if part.function is not None else None) or ""
        key = part.index if part.index is not None else (self.count if name else max(self.count - 1, 0))
        known = self._open.get(key)
        if known is None or (name and part.id and known[1] is not None and part.id != known[1]):
            return self._begin(key, part.id, name, arguments)
        return CallDelta(known[0], arguments) if arguments else None

    def _begin(self, key: int, call_id: str | None, name: str | None, arguments: str) -> CallDelta | None:
        if not name:
            return None
        number = self.count
        self.count += 1
        self._open[key] = (number, call_id)
        return CallDelta(number, arguments, call_id=(call_id or new_call_id())[:64], name=name)
