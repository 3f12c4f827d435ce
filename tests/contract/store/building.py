"""Small items, turns and stores for the tests of the state store."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from onward.core.clock import now
from onward.core.ids import new_item_id, new_suffix
from onward.core.items import Item, encode
from onward.core.lineage import EMPTY_HASH, extend_hash
from onward.core.turns import AfterResponse, Dialect, OnConversation, Parent, RunStatus
from onward.core.usage import Usage
from onward.ports.runs import Base, Ending, Lease, NewRun
from onward.store.sqlite.store import ProjectStore, SqliteStore, open_store

T = TypeVar("T")


def message(role: str, text: str, *, item_id: str | None = None, tokens: int = 5) -> Item:
    """Return a message item in its stored form."""
    name = item_id or new_item_id("message")
    kind = "output_text" if role == "assistant" else "input_text"
    body = {"id": name, "type": "message", "role": role, "status": "completed"}
    return Item(name, "message", encode({**body, "content": [{"type": kind, "text": text}]}), role, None, tokens)


def call(call_id: str) -> Item:
    """Return a function call."""
    name = new_item_id("function_call")
    body = {"id": name, "type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}
    return Item(name, "function_call", encode(body), None, call_id, 3)


def output(call_id: str) -> Item:
    """Return the output of a function call."""
    name = new_item_id("function_call_output")
    body = {"id": name, "type": "function_call_output", "call_id": call_id, "output": "ok"}
    return Item(name, "function_call_output", encode(body), None, call_id, 2)


def after(suffix: str) -> AfterResponse:
    """Return the parent that continues a response."""
    return AfterResponse("resp_" + suffix)


def on(suffix: str) -> OnConversation:
    """Return the parent that runs on a conversation."""
    return OnConversation("conv_" + suffix)


def ids(items: Sequence[Item]) -> list[str]:
    """Return the public ids of items."""
    return [item.id for item in items]


def hashes_of(items: Sequence[Item]) -> list[bytes]:
    """Return the rolling hash after each item."""
    running = EMPTY_HASH
    found: list[bytes] = []
    for item in items:
        running = extend_hash(running, item)
        found.append(running)
    return found


def new_run(
    base: Base,
    parent: Parent | None = None,
    items: Sequence[Item] = (),
    *,
    dialect: Dialect = "responses",
    config: bytes = b"{}",
    lease_seconds: float = 60.0,
    expires_at: float | None = None,
) -> NewRun:
    """Return a run to begin."""
    return NewRun(
        suffix=new_suffix(),
        dialect=dialect,
        status="in_progress",
        model="m",
        base=base,
        parent=parent,
        input=items,
        config=config,
        extra=b"{}",
        metadata=b"{}",
        background=False,
        stream=False,
        created_at=now(),
        owner="node",
        lease_seconds=lease_seconds,
        expires_at=expires_at,
    )


def ending(items: Sequence[Item] = (), *, status: RunStatus = "completed", open_calls: tuple[str, ...] = ()) -> Ending:
    """Return the end of a run."""
    return Ending(status=status, output=items, usage=Usage(1, 2), ended_at=now(), open_calls=open_calls)


async def begin(
    project: ProjectStore, parent: Parent | None = None, items: Sequence[Item] = (), *, dialect: Dialect = "responses"
) -> tuple[str, Lease]:
    """Begin a run on what its parent continues."""
    new = new_run(await project.runs.base(parent), parent, items, dialect=dialect)
    return new.suffix, await project.runs.begin(new)


async def turn(
    project: ProjectStore, parent: Parent | None = None, text: str = "q", *, status: RunStatus = "completed"
) -> str:
    """Run a turn with one question and one answer and return its suffix."""
    suffix, lease = await begin(project, parent, [message("user", text)])
    await project.runs.end(lease, ending([message("assistant", f"re {text}")], status=status))
    return suffix


async def context(project: ProjectStore, parent: Parent) -> Sequence[Item]:
    """Return the context of a turn that continues `parent`."""
    return await project.runs.context((await project.runs.base(parent)).lineage)


@cache
def _empty_store() -> TemporaryDirectory[str]:
    """Return a directory with a migrated store that has no rows, made once for all tests."""
    directory = TemporaryDirectory()

    async def make() -> None:
        async with open_store(Path(directory.name), node="node"):
            pass

    asyncio.run(make())
    return directory


def prepare(path: Path) -> None:
    """Put an empty store into `path` where there is none."""
    if not (path / "state.db").exists():
        shutil.copytree(_empty_store().name, path, dirs_exist_ok=True)


@asynccontextmanager
async def default_project(path: Path) -> AsyncGenerator[tuple[SqliteStore, ProjectStore]]:
    """Open a store and its default project."""
    async with open_store(path, node="node") as store:
        yield store, store.for_project(store.default_project)


def run_test(path: Path, body: Callable[[SqliteStore, ProjectStore], Coroutine[Any, Any, T]]) -> T:
    """Run `body` on an open store."""

    async def main() -> T:
        async with default_project(path) as (store, project):
            return await body(store, project)

    prepare(path)
    return asyncio.run(main())
