"""Snapshots kept between searches, the least used dropped when they take too much memory.

It knows their size and nothing of their content.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import ExitStack

from onward.retrieval.index.database import Session
from onward.retrieval.index.snapshot import Snapshot, Space, refresh

Key = tuple[int, int, Space]
DEFAULT_BYTES = 512 * 1024**2


class SnapshotCache:
    """Gives the present snapshot of a store; two threads never build the same one at once."""

    def __init__(self, *, max_bytes: int = DEFAULT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._snapshots: OrderedDict[Key, Snapshot] = OrderedDict()
        self._building: dict[Key, threading.Lock] = {}

    @property
    def nbytes(self) -> int:
        """Return about how much memory the snapshots take."""
        with self._lock:
            return sum(snapshot.nbytes for snapshot in self._snapshots.values())

    @property
    def rows(self) -> int:
        """Return how many rows the snapshots hold."""
        with self._lock:
            return sum(snapshot.rows for snapshot in self._snapshots.values())

    def current(self, session: Session, project: int, store: int, space: Space) -> Snapshot:
        """Return the store as it is now."""
        key = (project, store, space)
        with ExitStack() as stack:
            with self._lock:
                building = self._building.setdefault(key, threading.Lock())
            stack.enter_context(building)
            with self._lock:
                old = self._snapshots.get(key)
            snapshot = refresh(session, project, store, space, old)
            with self._lock:
                self._keep(key, snapshot)
        return snapshot

    def _keep(self, key: Key, snapshot: Snapshot) -> None:
        self._snapshots[key] = snapshot
        self._snapshots.move_to_end(key)
        total = sum(kept.nbytes for kept in self._snapshots.values())
        while total > self._max_bytes and len(self._snapshots) > 1:
            dropped, old = self._snapshots.popitem(last=False)
            self._building.pop(dropped, None)
            total -= old.nbytes
