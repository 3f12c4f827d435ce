"""Which owners of leased work are alive: each holds a lock on a file of its own, which its death releases at once.

Leases alone would make whoever comes after a crash wait for their end. Processes on one SQLite store share a machine,
so a file lock tells the truth.
"""

import fcntl
from collections.abc import Iterable
from pathlib import Path
from typing import IO


class Owners:
    """The owners' files in one directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, IO[str]] = {}

    def show(self, owner: str) -> None:
        """Show, for as long as this process lives, that `owner` is alive; repeating it changes nothing."""
        if owner in self._held:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = (self._folder / owner).open("a")
        fcntl.flock(handle, fcntl.LOCK_SH)  # shared: whoever goes by the same name counts as well
        self._held[owner] = handle

    def dead(self, owners: Iterable[str]) -> list[str]:
        """Return those of `owners` whose process has ended, and remove their files."""
        return [owner for owner in owners if owner not in self._held and self._bury(owner)]

    def _bury(self, owner: str) -> bool:
        path = self._folder / owner
        try:
            with path.open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True

    def leave(self) -> None:
        """Take this process's files away."""
        for owner, handle in self._held.items():
            (self._folder / owner).unlink(missing_ok=True)
            handle.close()
        self._held.clear()
