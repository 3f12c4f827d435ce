"""The PassageIndex over one SQLite file: every method hands a short piece of work to the database's threads.

It must not import a numeric library before the first vector or search comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from onward.ports.embed import Vectors
from onward.ports.filters import Attributes
from onward.ports.passages import Chunk, Content, DocumentKey, DocumentState, Passage, PassageIndex, SearchQuery
from onward.retrieval.index import documents, links
from onward.retrieval.index.database import Database, Session

if TYPE_CHECKING:
    from onward.retrieval.index.cache import SnapshotCache

ERASE_SLICE = 256


class SqlitePassageIndex(PassageIndex):
    """Documents, links and search in ``index.db`` of a data directory; several processes may share the file."""

    def __init__(self, data: Path, *, readers: int = 4, cache_bytes: int = 512 * 1024**2) -> None:
        self._database = Database(data / "index.db", readers=readers)
        self._cache_bytes = cache_bytes
        self._cache: SnapshotCache | None = None

    async def begin(self, project: int, key: DocumentKey) -> DocumentState:
        """Find or create a document."""
        return await self._database.write(lambda s: documents.begin(s, project, key))

    async def put_chunks(self, project: int, document: int, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Store a slice of chunks in transactions of at most 256 rows; raises ValueError for a gap, KeyError."""
        documents.check_slice(chunks, vectors)
        for first in range(0, len(chunks), documents.MAX_SLICE):
            part = chunks[first : first + documents.MAX_SLICE]
            base = documents.windows_of(chunks[0])[0]
            start, end = documents.windows_of(part[0])[0] - base, documents.windows_of(part[-1])[1] - base
            width = vectors.dimensions * 4
            rows = Vectors(end - start, vectors.dimensions, vectors.data[start * width : end * width])
            await self._database.write(lambda s, p=part, r=rows: documents.put_chunks(s, project, document, p, r))

    async def finish(self, project: int, document: int, *, chunks: int) -> DocumentState:
        """Declare a document complete."""
        return await self._database.write(lambda s: documents.finish(s, project, document, chunks))

    async def document_state(self, project: int, document: int) -> DocumentState | None:
        """Return a document's state."""
        return await self._database.read(lambda s: documents.read_state(s, project, document))

    async def link(
        self, project: int, store: int, file: int, document: int, *, attributes: Attributes | None = None
    ) -> None:
        """Show a ready document in a store."""
        encoded = links.encode_attributes(attributes)
        await self._database.write(lambda s: links.link(s, project, store, file, document, encoded))

    async def unlink(self, project: int, store: int, file: int) -> bool:
        """Take a file out of a store."""
        return await self._database.write(lambda s: links.unlink(s, project, store, file))

    async def unlink_file(self, project: int, file: int) -> int:
        """Take a file out of all stores."""
        return await self._database.write(lambda s: links.unlink_file(s, project, file))

    async def drop_store(self, project: int, store: int) -> int:
        """Take every file out of a store."""
        return await self._database.write(lambda s: links.drop_store(s, project, store))

    async def set_attributes(self, project: int, store: int, file: int, attributes: Attributes) -> bool:
        """Replace a file's attributes."""
        encoded = links.encode_attributes(attributes)
        return await self._database.write(lambda s: links.set_attributes(s, project, store, file, encoded))

    async def chunk_count(self, project: int, store: int) -> int:
        """Return the chunks of a store."""
        return (await self._database.read(lambda s: links.store_totals(s, project, store)))[0]

    async def usage_bytes(self, project: int, store: int) -> int:
        """Return the bytes of a store."""
        return (await self._database.read(lambda s: links.store_totals(s, project, store)))[1]

    async def file_usage_bytes(self, project: int, store: int, file: int) -> int:
        """Return the bytes of a file in a store."""
        found = await self._database.read(lambda s: links.linked_document(s, project, store, file))
        return found[1] if found else 0

    async def contents(self, project: int, document: int) -> list[Content]:
        """Return a document's text."""
        return await self._database.read(lambda s: documents.contents(s, project, document))

    async def file_contents(self, project: int, store: int, file: int) -> list[Content] | None:
        """Return the text of a file in a store."""

        def read(session: Session) -> list[Content] | None:
            found = links.linked_document(session, project, store, file)
            return documents.contents(session, project, found[0]) if found else None

        return await self._database.read(read)

    async def search(self, project: int, stores: Sequence[int], query: SearchQuery) -> list[Passage]:
        """Return the best passages of the stores."""
        if not query.texts or not stores or query.limit < 1:
            return []
        if len(query.texts) != query.vectors.rows:
            raise ValueError(f"{len(query.texts)} texts with {query.vectors.rows} vectors")
        return await self._database.read(lambda s: self._search(s, project, stores, query))

    async def sweep(self, *, older_than: float = 3600.0, limit: int = 256) -> int:
        """Delete rows of documents that nothing links to."""

        def delete(session: Session) -> int:
            for project, document in documents.orphans(session, before=time() - older_than):
                return documents.delete_slice(session, project, document, limit)
            return 0

        return await self._database.write(delete)

    async def erase(self, project: int, sha256: str) -> int:
        """Delete all documents of a content, links first."""
        found = await self._database.write(lambda s: _retire(s, project, sha256))
        for document in found:
            while await self._database.write(lambda s, d=document: documents.delete_slice(s, project, d, ERASE_SLICE)):
                pass
        await self._database.truncate_log()
        return len(found)

    @property
    def cached_rows(self) -> int:
        """Return how many chunks this process holds in memory."""
        return self._cache.rows if self._cache is not None else 0

    async def aclose(self) -> None:
        """Close the database."""
        await self._database.aclose()

    def _search(self, session: Session, project: int, stores: Sequence[int], query: SearchQuery) -> list[Passage]:
        from onward.retrieval.index.cache import SnapshotCache
        from onward.retrieval.index.search import search

        if self._cache is None:
            self._cache = SnapshotCache(max_bytes=self._cache_bytes)
        return search(session, self._cache, project, stores, query)


def _retire(session: Session, project: int, sha256: str) -> list[int]:
    found = [int(str(row[0])) for row in session.rows("documents.by_content", project=project, sha256=sha256)]
    for document in found:
        links.unlink_document(session, project, document)
        session.run("documents.retire", project=project, document=document)
    return found
