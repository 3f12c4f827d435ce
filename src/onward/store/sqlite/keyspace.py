"""Internal keys: taken from blocks that a row hands out, so that processes never give one key twice."""

from typing import Final

from onward.store.sqlite.cursor import Cursor, scalar

BLOCK: Final = 1024

_TAKE = (
    "INSERT INTO sequences (name, next) VALUES (?1, 1 + ?2)"
    " ON CONFLICT (name) DO UPDATE SET next = next + ?2 RETURNING next"
)


class KeySpace:
    """The blocks of one process. Keys grow within a process; over processes they are only unique."""

    def __init__(self) -> None:
        self._blocks: dict[str, tuple[int, int]] = {}

    def take(self, cursor: Cursor, name: str, count: int = 1) -> int:
        """Return the first of `count` consecutive keys of the sequence `name`; call it inside a write only."""
        first, end = self._blocks.get(name, (0, 0))
        if end - first < count:
            size = max(BLOCK, count)
            end = scalar(cursor, _TAKE, (name, size))
            first = end - size
        self._blocks[name] = (first + count, end)
        return first

    def forget(self) -> None:
        """Drop all blocks: a rollback may have taken them back in the file."""
        self._blocks.clear()
