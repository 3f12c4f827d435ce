"""The context of a turn as fragments that the model's adapter rendered, kept so that a turn renders only what is new.

An entry moves on with its chain: fragments of a history are shared, never copied, and dropped by size, oldest first.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from onward.core.lineage import Lineage

DEFAULT_CAPACITY: Final = 64 * 1024 * 1024
"""Bytes of rendered fragments that one process keeps."""

ContextKey = tuple[int, str, Lineage, int]
"""Project, model, lineage, and how many tokens were dropped from its beginning: what the fragments depend on."""


class ContextCache:
    """Rendered contexts by what they were rendered from."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[ContextKey, tuple[Sequence[bytes], int]] = OrderedDict()
        self._size = 0

    def get(self, key: ContextKey) -> Sequence[bytes] | None:
        """Return the fragments of a context, oldest first."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: ContextKey, fragments: Sequence[bytes], *, grown_from: ContextKey | None = None) -> None:
        """Keep the fragments of a context; the entry that it grew from is replaced."""
        if grown_from is not None:
            self._discard(grown_from)
        self._discard(key)
        size = sum(map(len, fragments)) + 64 * len(fragments)
        if size > self._capacity:
            return
        self._entries[key] = (fragments, size)
        self._size += size
        while self._size > self._capacity:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._size -= dropped

    def _discard(self, key: ContextKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry[1]
