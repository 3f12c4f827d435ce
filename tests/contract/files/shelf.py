"""The room of files over one data directory, made of the real parts: state, blobs, index, parser, embedder, worker."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from onward.ports.embed import Embedder
from onward.ports.files import File, NewFile
from onward.ports.parse import Parser
from onward.ports.vector_stores import Attach, NewStore, StoreFile, VectorStore
from onward.retrieval.embed.local import LocalEmbedder
from onward.retrieval.index.sqlite import SqlitePassageIndex
from onward.retrieval.ingest import Ingestion
from onward.retrieval.library import PassageLibrary
from onward.retrieval.parse.pool import ParserPool
from onward.store.blobs_local import LocalBlobs
from onward.store.sqlite.files import SqliteFiles
from onward.store.sqlite.ledger import SqliteLedger
from onward.store.sqlite.store import SqliteStore
from onward.store.sqlite.vector_stores import SqliteVectorStores
from onward.store.sqlite.work import SqliteWork
from onward.tools.search import ProjectSearch


class Shelf:
    """One process's parts."""

    def __init__(self, store: SqliteStore, data: Path, parser: Parser, embedder: Embedder, project: int) -> None:
        self.state = store.state
        self.project = project
        self.blobs = LocalBlobs(data / "blobs")
        self.index = SqlitePassageIndex(data)
        self.work = SqliteWork(store.state)
        self.ledger = SqliteLedger(state=store.state, blobs=self.blobs, work=self.work)
        self.library = PassageLibrary(parser=parser, embedder=embedder, index=self.index)
        self.files = SqliteFiles(state=store.state, project=project, blobs=self.blobs, index=self.index, work=self.work)
        self.stores = SqliteVectorStores(state=store.state, project=project, index=self.index, work=self.work)
        self.search = ProjectSearch(project=project, vector_stores=self.stores, library=self.library)

    def worker(self, owner: str = "worker", slots: int = 4) -> Ingestion:
        return Ingestion(
            work=self.work,
            ledger=self.ledger,
            library=self.library,
            index=self.index,
            blobs=self.blobs,
            owner=owner,
            slots=slots,
        )

    @asynccontextmanager
    async def working(self, owner: str = "worker") -> AsyncGenerator[None]:
        task = asyncio.create_task(self.worker(owner).run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def upload(self, data: bytes | str, filename: str = "note.txt", *, expires_in: int | None = None) -> File:
        content = data.encode() if isinstance(data, str) else data
        async with self.files.receive() as incoming:
            await incoming.write(content)
            return await incoming.finish(NewFile(filename=filename, purpose="assistants", expires_in=expires_in))

    async def new_store(self, *texts: str, name: str = "") -> tuple[VectorStore, list[File]]:
        files = [await self.upload(text, f"note{number}.txt") for number, text in enumerate(texts)]
        store = await self.stores.create(NewStore(name=name), [Attach(file_id=file.id) for file in files])
        return store, files

    async def settled(self, store_id: str, file_id: str) -> StoreFile:
        """Return a file of a store once its ingestion has ended."""
        async with asyncio.timeout(60):
            while (file := await self.stores.file(store_id, file_id)).status == "in_progress":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return file

    async def quiet(self) -> None:
        """Return once there is no work left."""
        async with asyncio.timeout(60):
            while await self.work.due_in() is not None:  # noqa: ASYNC110 - waits for another task's rows
                await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(
    data: Path, *, embedder: Embedder | None = None, embedder_dir: Path | None = None
) -> AsyncGenerator[Shelf]:
    """Open the parts of one process; several may be open on one directory."""
    store = await SqliteStore.open(data, node="test")
    parser = ParserPool(idle_seconds=1.0)
    used = embedder or LocalEmbedder(embedder_dir or data)
    shelf = Shelf(store, data, parser, used, store.default_project)
    try:
        yield shelf
    finally:
        shelf.work.leave()
        await used.aclose()
        await parser.aclose()
        await shelf.index.aclose()
        await store.close()
