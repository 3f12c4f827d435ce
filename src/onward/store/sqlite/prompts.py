"""Prompts of one project: a row for each, a row for each version, configurations shared with those of runs."""

from collections.abc import Callable
from functools import partial
from typing import Any

from onward.core import clock
from onward.core.errors import ConflictError
from onward.core.ids import new_id
from onward.ports.prompts import Prompt, PromptPage, PromptVersion, VersionPage, no_such_prompt
from onward.ports.runs import Page
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.encoding import pack_id, pack_object, unpack_id, unpack_object
from onward.store.sqlite.garbage import CONFIGS, add_garbage
from onward.store.sqlite.pages import Place, select_page
from onward.store.sqlite.run_rows import config_key

_COLUMNS = "p.key, p.id, p.name, p.metadata, p.created_at, p.current, p.latest, c.body"
_SELECT = f"""
SELECT {_COLUMNS} FROM prompts p
JOIN prompt_versions v ON v.project = p.project AND v.prompt = p.key AND v.number = p.current
LEFT JOIN configs c ON c.key = v.config AND c.project = v.project
WHERE p.project = ? AND p.deleted = 0
"""
_GET = f"{_SELECT} AND p.id = ?"
_PLACE = "SELECT created_at, key FROM prompts WHERE project = ? AND id = ? ORDER BY deleted, key DESC LIMIT 1"
_INSERT = """
INSERT INTO prompts (project, key, id, name, metadata, created_at, current, latest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_DESCRIBE = "UPDATE prompts SET name = ?3, metadata = ?4 WHERE project = ?1 AND key = ?2"
_MOVE = "UPDATE prompts SET current = ?3, latest = max(latest, ?4) WHERE project = ?1 AND key = ?2"
_DELETE = "UPDATE prompts SET deleted = 1, name = NULL, metadata = NULL WHERE project = ? AND key = ?"
_ADD_VERSION = "INSERT INTO prompt_versions (project, prompt, number, created_at, config) VALUES (?, ?, ?, ?, ?)"
_DROP_VERSIONS = "DELETE FROM prompt_versions WHERE project = ? AND prompt = ?"
_VERSIONS = """
SELECT v.number, v.created_at, c.body FROM prompt_versions v
LEFT JOIN configs c ON c.key = v.config AND c.project = v.project
WHERE v.project = ? AND v.prompt = ?
"""
_VERSION = f"{_VERSIONS} AND v.number = ?"


class SqlitePrompts:
    """Prompts of one project. Every call on an unknown or deleted prompt raises NotFoundError."""

    def __init__(self, state: Database, project: int) -> None:
        self._state = state
        self._project = project

    async def create(
        self, configuration: bytes, *, prompt_id: str | None, name: str | None, metadata: bytes, number: int = 1
    ) -> Prompt:
        """Create a prompt with its first version. Raises ConflictError for an id that exists."""
        public_id = prompt_id or new_id("pmpt_")
        created_at = clock.now()

        def insert(cursor: Cursor) -> Prompt:
            if first(cursor, _GET, (self._project, pack_id(public_id))) is not None:
                raise ConflictError(f"A prompt with the id '{public_id}' exists already.", param="id")
            key = self._state.keys.take(cursor, "prompts")
            row = (self._project, key, pack_id(public_id), name, pack_object(metadata), created_at, number, number)
            cursor.execute(_INSERT, row)
            self._insert_version(cursor, key, number, created_at, configuration)
            return self._find(cursor, public_id)[1]

        return await self._state.write(insert)

    def _insert_version(self, cursor: Cursor, key: int, number: int, created_at: float, configuration: bytes) -> None:
        config = config_key(cursor, self._project, configuration)
        cursor.execute(_ADD_VERSION, (self._project, key, number, created_at, config))

    def _find(self, cursor: Cursor, prompt_id: str) -> tuple[int, Prompt]:
        row = first(cursor, _GET, (self._project, pack_id(prompt_id)))
        if row is None:
            raise no_such_prompt(prompt_id)
        return _keyed(*row)

    async def get(self, prompt_id: str) -> Prompt:
        """Return a prompt."""
        return await self._state.read(lambda cursor: self._find(cursor, prompt_id)[1])

    async def page(self, page: Page) -> PromptPage:
        """Return a page of prompts; cursors stay valid after their prompt was deleted."""

        def look(cursor: Cursor) -> PromptPage:
            def place(public_id: str) -> Place | None:
                return first(cursor, _PLACE, (self._project, pack_id(public_id)))

            found, has_more = select_page(
                cursor,
                page,
                select=_SELECT,
                order_by=("p.created_at", "p.key"),
                values=(self._project,),
                find=place,
                read=_keyed,
            )
            return PromptPage([prompt for _, prompt in found], has_more)

        return await self._state.read(look)

    async def describe(self, prompt_id: str, *, name: str | None, metadata: bytes | None) -> Prompt:
        """Replace name and metadata, where they are given; no version is made."""

        def change(cursor: Cursor, key: int, prompt: Prompt) -> None:
            new_metadata = prompt.metadata if metadata is None else metadata
            new_name = prompt.name if name is None else name
            cursor.execute(_DESCRIBE, (self._project, key, new_name, pack_object(new_metadata)))

        return await self._change(prompt_id, change)

    async def select(self, prompt_id: str, number: int) -> Prompt:
        """Make a version the current one. Raises NotFoundError for a version that does not exist."""

        def move(cursor: Cursor, key: int, _: Prompt) -> None:
            self._version(cursor, key, prompt_id, number)
            cursor.execute(_MOVE, (self._project, key, number, number))

        return await self._change(prompt_id, move)

    async def _change(self, prompt_id: str, change: Callable[[Cursor, int, Prompt], None]) -> Prompt:
        def write(cursor: Cursor) -> Prompt:
            change(cursor, *self._find(cursor, prompt_id))
            return self._find(cursor, prompt_id)[1]

        return await self._state.write(write)

    async def add(
        self, prompt_id: str, configuration: bytes, *, number: int | None, select: bool, after: int | None = None
    ) -> PromptVersion | None:
        """Add a version. None where `after` is given and not current any more. Raises ConflictError."""

        def insert(cursor: Cursor) -> PromptVersion | None:
            key, prompt = self._find(cursor, prompt_id)
            if after is not None and prompt.current != after:
                return None
            new = prompt.latest + 1 if number is None else number
            if first(cursor, _VERSION, (self._project, key, new)) is not None:
                raise ConflictError(f"Version '{new}' of the prompt '{prompt_id}' exists already.", param="version")
            self._insert_version(cursor, key, new, clock.now(), configuration)
            cursor.execute(_MOVE, (self._project, key, new if select else prompt.current, new))
            return self._version(cursor, key, prompt_id, new)

        return await self._state.write(insert)

    async def delete(self, prompt_id: str) -> None:
        """Delete a prompt with all its versions; responses made with it keep what they were made of."""

        def drop(cursor: Cursor) -> None:
            key, _ = self._find(cursor, prompt_id)
            cursor.execute(_DROP_VERSIONS, (self._project, key))
            cursor.execute(_DELETE, (self._project, key))
            add_garbage(cursor, self._project, CONFIGS, 0)

        await self._state.write(drop)

    def _version(self, cursor: Cursor, key: int, prompt_id: str, number: int) -> PromptVersion:
        row = first(cursor, _VERSION, (self._project, key, number))
        if row is None:
            raise no_such_prompt(prompt_id, number)
        return _version_of(prompt_id, *row)

    async def version(self, prompt_id: str, number: int | None) -> PromptVersion:
        """Return a version, or the current one. Raises NotFoundError."""

        def find(cursor: Cursor) -> PromptVersion:
            key, prompt = self._find(cursor, prompt_id)
            return self._version(cursor, key, prompt_id, prompt.current if number is None else number)

        return await self._state.read(find)

    async def versions(self, prompt_id: str, page: Page) -> VersionPage:
        """Return a page of versions; cursors are version numbers."""

        def look(cursor: Cursor) -> VersionPage:
            key, prompt = self._find(cursor, prompt_id)

            def place(number: str) -> Place | None:
                wanted = int(number) if number.isascii() and number.isdigit() and len(number) <= 10 else 0
                return (wanted, wanted) if 0 < wanted <= prompt.latest else None

            found, has_more = select_page(
                cursor,
                page,
                select=_VERSIONS,
                order_by=("v.number", "v.number"),
                values=(self._project, key),
                find=place,
                read=partial(_version_of, prompt_id),
            )
            return VersionPage(found, has_more)

        return await self._state.read(look)


def _keyed(
    key: int,
    public_id: bytes | str,
    name: str | None,
    metadata: bytes | None,
    created_at: float,
    current: int,
    latest: int,
    configuration: bytes | None,
) -> tuple[int, Prompt]:
    prompt = Prompt(
        id=unpack_id(public_id),
        name=name,
        metadata=unpack_object(metadata),
        created_at=created_at,
        current=current,
        latest=latest,
        configuration=unpack_object(configuration),
    )
    return key, prompt


def _version_of(prompt_id: str, number: int, created_at: float, configuration: Any) -> PromptVersion:
    return PromptVersion(
        prompt_id=prompt_id, number=number, created_at=created_at, configuration=unpack_object(configuration)
    )
