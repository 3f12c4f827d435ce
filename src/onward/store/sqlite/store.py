"""The data directory: opens its files, names its projects, and hands out stores that are scoped to one project."""

import contextlib
from collections.abc import AsyncGenerator
from importlib.resources import files
from pathlib import Path
from typing import Final

from onward.core import clock
from onward.store.sqlite.completions import SqliteCompletions
from onward.store.sqlite.conversations import SqliteConversations
from onward.store.sqlite.cursor import Cursor, first, scalar
from onward.store.sqlite.database import Database, Durability
from onward.store.sqlite.idempotency import SqliteIdempotency, expire_claims
from onward.store.sqlite.keys import SqliteKeys
from onward.store.sqlite.owners import Owners
from onward.store.sqlite.prompts import SqlitePrompts
from onward.store.sqlite.recovery import SqliteRecovery
from onward.store.sqlite.runs import SqliteRuns
from onward.store.sqlite.sweep import sweep

DEFAULT_PROJECT: Final = "default"

_FIND_PROJECT = "SELECT key FROM projects WHERE name = ?"
_PROJECTS = "SELECT key, name FROM projects"
_ADD_PROJECT = "INSERT INTO projects (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"


class ProjectStore:
    """Everything one project owns. The only handle to rows: a query without a project cannot be written."""

    def __init__(self, store: "SqliteStore", project: int) -> None:
        self.project = project
        self.idempotency = SqliteIdempotency(store.state, project)
        self.runs = SqliteRuns(store.state, store.events, project, store.owners)
        self.conversations = SqliteConversations(store.state, project)
        self.prompts = SqlitePrompts(store.state, project)
        self.completions = SqliteCompletions(store.state, project, self.runs)


class SqliteStore:
    """An open data directory. `state` and `events` are open to the store's own modules only."""

    def __init__(self, *, state: Database, events: Database, node: str, default_project: int) -> None:
        self.state = state
        self.events = events
        self.node = node
        self.default_project = default_project
        self.keys = SqliteKeys(state)
        self.owners = Owners(state.path.parent / "nodes")
        self.recovery = SqliteRecovery(state, events, self.owners)
        self._projects: dict[int, ProjectStore] = {}

    @classmethod
    async def open(cls, data_dir: Path, *, node: str, durability: Durability = "process") -> "SqliteStore":
        """Open the files of `data_dir`, creating what is missing. Raises StoreTooNew."""
        migrations = files("onward.store.sqlite.migrations")
        state = await Database.open(data_dir / "state.db", migrations=migrations / "state", durability=durability)
        try:
            events_path = data_dir / "events.db"
            events = await Database.open(events_path, migrations=migrations / "events", durability=durability)
        except BaseException:
            await state.close()
            raise
        default_project = await state.write(lambda cursor: _project(cursor, DEFAULT_PROJECT))
        return cls(state=state, events=events, node=node, default_project=default_project)

    def for_project(self, project: int) -> ProjectStore:
        """Return the store of one project."""
        if project not in self._projects:
            self._projects[project] = ProjectStore(self, project)
        return self._projects[project]

    async def project(self, name: str) -> int:
        """Return the key of the project `name`, creating it where it is missing."""
        return await self.state.write(lambda cursor: _project(cursor, name))

    async def project_names(self) -> dict[int, str]:
        """Return the name of every project by its key."""
        return await self.state.read(lambda cursor: dict(cursor.execute(_PROJECTS).fetchall()))

    async def sweep(self) -> int:
        """Remove items and configurations that nothing reaches any more and return how many rows went."""
        while await self.state.write(expire_claims):
            pass
        return await sweep(self.state)

    async def close(self) -> None:
        """Close all files once their writes have ended."""
        await self.events.close()
        await self.state.close()
        self.owners.leave()


@contextlib.asynccontextmanager
async def open_store(data_dir: Path, *, node: str, durability: Durability = "process") -> AsyncGenerator[SqliteStore]:
    """Open a store for the length of a block."""
    store = await SqliteStore.open(data_dir, node=node, durability=durability)
    try:
        yield store
    finally:
        await store.close()


def _project(cursor: Cursor, name: str) -> int:
    if first(cursor, _FIND_PROJECT, (name,)) is None:
        cursor.execute(_ADD_PROJECT, (name, clock.now()))
    return scalar(cursor, _FIND_PROJECT, (name,))
