"""The ingestion worker: claims durable work and makes the index follow the state, one instance in each server process.

A file is parsed and embedded in other processes, and linked when its document is whole; the state says `completed`
last. So a worker that dies at any point leaves work that the next one finishes, and nothing half-written is ever found
by a search. It must not know HTTP, and starts neither parser nor embedder before there is a file to ingest.
"""

import asyncio
import logging
from errno import ENOSPC
from functools import partial
from typing import Final, assert_never

from onward.core.errors import StorageFull
from onward.ports.blobs import Blobs
from onward.ports.embed import EmbedError
from onward.ports.library import Library, Source
from onward.ports.parse import ParseError
from onward.ports.passages import PassageIndex
from onward.ports.vector_stores import Fault, Ledger
from onward.ports.work import Work, WorkItem

log = logging.getLogger("onward.ingest")

LEASE_SECONDS: Final = 6.0
POLL_SECONDS: Final = 0.2
"""How often another process's work is looked for, while there is any."""
IDLE_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 0.25
"""How soon work stops after its file was detached, deleted or cancelled."""
HOUSEKEEPING_SECONDS: Final = 30.0
SWEEP_EVERY: Final = 20
"""Rounds of housekeeping between two sweeps of unlinked documents."""
FAULT_SECONDS: Final = 1.0
MAX_ATTEMPTS: Final = 8
MAX_CLAIMS: Final = 24
"""A file that outlived so many claims has ended its worker each time."""
MAX_BACKOFF_SECONDS: Final = 30.0


FULL: Final = "there is no space left on the server's disk."


def is_full(error: BaseException) -> bool:
    """Tell whether an error says that the disk is full, whoever met it."""
    if isinstance(error, StorageFull):
        return True
    return (isinstance(error, OSError) and error.errno == ENOSPC) or type(error).__name__ == "FullError"


def _complain(what: str, error: Exception) -> None:
    """Log a fault: a full disk in a line, because it comes again until there is space, anything else as it is."""
    if is_full(error):
        log.warning("%s: %s", what, FULL)
    else:
        log.error(what, exc_info=error)


class _Unwanted(Exception):
    """The file was detached, cancelled or deleted, or another worker has its item."""


class Ingestion:
    """Runs until it is cancelled; `run` is a task of its own beside the server."""

    def __init__(
        self,
        *,
        work: Work,
        ledger: Ledger,
        library: Library,
        index: PassageIndex,
        blobs: Blobs,
        owner: str,
        slots: int = 4,
    ) -> None:
        self._work = work
        self._ledger = ledger
        self._library = library
        self._index = index
        self._blobs = blobs
        self._owner = owner
        self._slots = slots
        self._held: dict[int, tuple[WorkItem, asyncio.Task[None]]] = {}
        self._busy = asyncio.Event()

    async def run(self) -> None:
        """Claim and do work until cancelled; what is under way is then given back at once."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_leases())
                tasks.create_task(self._watch())
                tasks.create_task(self._keep_house())
                while True:
                    try:
                        await self._claim(tasks)
                    except Exception as error:  # noqa: BLE001 - told, and tried again
                        _complain("claiming work failed", error)
                        await asyncio.sleep(FAULT_SECONDS)
        finally:
            self._work.leave()

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        free = self._slots - len(self._held)
        due = await self._work.due_in() if free else None
        if due == 0:
            for item in await self._work.claim(owner=self._owner, seconds=LEASE_SECONDS, limit=free):
                task = tasks.create_task(self._do(item))
                self._held[item.key] = item, task
                self._busy.set()
                # Not in the task itself: one that is cancelled before its first step never runs.
                task.add_done_callback(partial(self._let_go, item))
        elif not free:
            await self._work.wait(timeout=LEASE_SECONDS)
        else:
            await self._work.wait(timeout=IDLE_SECONDS if due is None else min(due, POLL_SECONDS))

    async def _do(self, item: WorkItem) -> None:
        try:
            await self._settle(item)
        except asyncio.CancelledError:
            # Free at once: another process goes on, or finds that the file is no longer wanted and clears up behind it.
            await asyncio.shield(self._work.postpone(item, seconds=0.0))
            raise
        except Exception as error:  # noqa: BLE001 - told, and tried again
            _complain(f"work {item.kind} of project {item.project} failed", error)
            reason = FULL if is_full(error) else f"{type(error).__name__}."
            try:
                await self._retry(item, Fault("server_error", f"The file could not be indexed: {reason}"))
            except Exception as again:  # noqa: BLE001 - told, and tried again
                # Its lease ends by itself, and then it is claimed again.
                _complain(f"work {item.kind} of project {item.project} could not be put off", again)

    def _let_go(self, item: WorkItem, _task: asyncio.Task[None]) -> None:
        self._held.pop(item.key, None)
        if not self._held:
            self._busy.clear()
        self._work.notify()

    async def _settle(self, item: WorkItem) -> None:
        match item.kind:
            case "ingest":
                await self._ingest(item)
                return
            case "sync_link":
                await self._sync(item)
            case "release_file":
                await self._ledger.release(item)
            case "drop_store":
                await self._index.drop_store(item.project, item.store)
                while await self._ledger.drop_rows(item):
                    pass
            case _:
                assert_never(item.kind)
        await self._work.finish(item)

    async def _sync(self, item: WorkItem) -> None:
        attributes = await self._ledger.attributes(item)
        if attributes is None:
            await self._index.unlink(item.project, item.store, item.link)
        else:
            await self._index.set_attributes(item.project, item.store, item.link, attributes)

    async def _ingest(self, item: WorkItem) -> None:
        try:
            await self._embed_and_link(item)
        except _Unwanted:
            await self._sync(item)
            await self._work.finish(item)
        except ParseError as error:
            await self._ledger.fail(item, Fault(error.code, error.message))
        except FileNotFoundError:
            await self._ledger.fail(item, Fault("server_error", "The file's bytes are gone. Upload it again."))
        except EmbedError as error:
            fault = Fault("server_error", f"The file could not be embedded: {error}")
            await (self._retry(item, fault) if error.retryable else self._ledger.fail(item, fault))

    async def _embed_and_link(self, item: WorkItem) -> None:
        order = await self._ledger.order(item)
        if order is None:
            raise _Unwanted
        if item.attempt > MAX_CLAIMS:
            fault = Fault("server_error", "Indexing this file ended the worker again and again. Convert or split it.")
            await self._ledger.fail(item, fault)
            return
        source = Source(
            path=self._blobs.path(item.project, order.sha256),
            sha256=order.sha256,
            filename=order.filename,
            media_type=order.media_type,
        )

        async def check(_done: int, _of: int) -> None:
            if not await self._ledger.wanted(item):
                raise _Unwanted

        document = await self._library.ingest(item.project, source, recipe=order.recipe, progress=check)
        completed = False
        while not completed:
            order = await self._ledger.order(item)
            if order is None or not await self._ledger.wanted(item):
                raise _Unwanted
            await self._index.link(item.project, item.store, item.link, document.document, attributes=order.attributes)
            # False where the attributes changed since: the loop links again with the new ones.
            completed = await self._ledger.complete(item, attributes=order.attributes, usage_bytes=document.usage_bytes)

    async def _retry(self, item: WorkItem, fault: Fault) -> None:
        if item.attempt < MAX_ATTEMPTS or item.kind != "ingest":
            delay = min(MAX_BACKOFF_SECONDS, 0.5 * 2 ** min(item.attempt, 10))
            await self._work.postpone(item, seconds=delay)
        else:
            await self._ledger.fail(item, fault)

    async def _keep_leases(self) -> None:
        """Renew what is held, and stop whatever another worker has taken."""
        while True:
            await self._busy.wait()
            await asyncio.sleep(LEASE_SECONDS / 3)
            held = list(self._held.values())
            try:
                ours = await self._work.renew([item for item, _ in held], seconds=LEASE_SECONDS)
            except Exception as error:  # noqa: BLE001 - told, and tried again
                _complain("renewing leases failed", error)
                continue
            for item, task in held:
                if item.key not in ours and item.key in self._held:
                    task.cancel()

    async def _watch(self) -> None:
        """Stop work on files that are no longer wanted, however long their next slice takes."""
        while True:
            await self._busy.wait()
            await asyncio.sleep(WATCH_SECONDS)
            for item, task in list(self._held.values()):
                try:
                    wanted = item.kind != "ingest" or await self._ledger.wanted(item)
                except Exception:
                    log.exception("watching work failed")
                    continue
                if not wanted:
                    task.cancel()

    async def _keep_house(self) -> None:
        """Expire what is due, and sweep what nothing refers to any more."""
        rounds = 0
        while True:
            try:
                if await self._work.release_dead():
                    self._work.notify()
                if rounds % SWEEP_EVERY == 0:
                    await self._blobs.sweep()
                    while await self._index.sweep():
                        pass
                while await self._ledger.expire():
                    self._work.notify()
            except Exception as error:  # noqa: BLE001 - told, and tried again
                _complain("housekeeping failed", error)
            rounds += 1
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
