"""The seam to vector stores as API objects: which files are in which store, how far they have come, and who may search.

It knows no chunks and no vectors: passages are another seam, joined to this one by internal keys.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from onward.core.errors import NotFoundError, RequestError
from onward.ports.filters import Attributes, Filter
from onward.ports.library import Ranking
from onward.ports.parse import Recipe
from onward.ports.runs import Page
from onward.ports.work import WorkItem

MAX_CREATE_FILES: Final = 500
MAX_BATCH_FILES: Final = 2000

LinkStatus = Literal["in_progress", "completed", "cancelled", "failed"]
FaultCode = Literal["server_error", "unsupported_file", "invalid_file"]


class FileCounts(Struct, frozen=True):
    """Files of a store or batch by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """Files in any status."""
        return self.in_progress + self.completed + self.failed + self.cancelled


class VectorStore(Struct, frozen=True, kw_only=True):
    """A vector store. `metadata` is a JSON object; times are seconds since the epoch; `expires_days` follow its use."""

    key: int
    id: str
    name: str
    description: str | None
    metadata: bytes
    created_at: float
    last_active_at: float
    expires_days: int | None
    expired: bool
    counts: FileCounts
    usage_bytes: int

    @property
    def expires_at(self) -> float | None:
        """When the store expires if nobody uses it."""
        return None if self.expires_days is None else self.last_active_at + self.expires_days * 86_400


class NewStore(Struct, frozen=True, kw_only=True):
    """A store to create."""

    name: str = ""
    description: str | None = None
    metadata: bytes = b"{}"
    expires_days: int | None = None


class StoreChange(Struct, frozen=True, kw_only=True):
    """What to change; None leaves a value. `expires_days` 0 removes the expiry."""

    name: str | None = None
    description: str | None = None
    metadata: bytes | None = None
    expires_days: int | None = None


class Fault(Struct, frozen=True):
    """Why a file failed: a code of the contract and a sentence that says what to do about it."""

    code: FaultCode
    message: str


class StoreFile(Struct, frozen=True, kw_only=True):
    """A file's place in a store; `file_id` is its public id.

    `key` belongs to this one attachment, never to a later one of the same file: the index knows the file by it, so that
    whatever is late about an old attachment cannot touch a new one.
    """

    key: int
    file_id: str
    store_id: str
    status: LinkStatus
    fault: Fault | None
    usage_bytes: int
    created_at: float
    attributes: Attributes
    recipe: Recipe


class Attach(Struct, frozen=True, kw_only=True):
    """A file to attach to a store."""

    file_id: str
    attributes: Attributes = {}
    recipe: Recipe = Recipe()


class FileBatch(Struct, frozen=True, kw_only=True):
    """Files that were attached together."""

    key: int
    id: str
    store_id: str
    created_at: float
    stopped: bool
    counts: FileCounts


class StorePage(Struct, frozen=True):
    """One page of stores."""

    stores: Sequence[VectorStore]
    has_more: bool


class StoreFilePage(Struct, frozen=True):
    """One page of the files of a store or batch."""

    files: Sequence[StoreFile]
    has_more: bool


class Named(Struct, frozen=True):
    """How a file found in a store is shown: its public id, its name, its attributes now."""

    file_id: str
    filename: str
    attributes: Attributes


class VectorStores(Protocol):
    """Vector stores of one project. Every call on an unknown or deleted store raises NotFoundError."""

    async def create(self, new: NewStore, files: Sequence[Attach] = ()) -> VectorStore:
        """Create a store that begins with `files`. Raises NotFoundError for an unknown file."""
        ...

    async def get(self, store_id: str) -> VectorStore: ...

    async def page(self, page: Page) -> StorePage:
        """Return a page of stores; cursors stay valid after their store was deleted. Raises RequestError."""
        ...

    async def update(self, store_id: str, change: StoreChange) -> VectorStore:
        """Change a store; counts as its use. Raises RequestError for an expired one."""
        ...

    async def delete(self, store_id: str) -> None:
        """Delete a store; its files stay. Nothing of it can be found from now on."""
        ...

    async def attach(self, store_id: str, file: Attach) -> StoreFile:
        """Attach a file and order its ingestion in one transaction; attaching it again changes attributes or recipe.

        Raises NotFoundError for an unknown file, RequestError for an expired store.
        """
        ...

    async def attach_batch(self, store_id: str, files: Sequence[Attach]) -> FileBatch:
        """Attach at most MAX_BATCH_FILES files together. Raises as `attach` does, before anything is attached."""
        ...

    async def batch(self, store_id: str, batch_id: str) -> FileBatch: ...

    async def cancel_batch(self, store_id: str, batch_id: str) -> FileBatch:
        """Stop what is not ingested yet; those files become `cancelled`."""
        ...

    async def file(self, store_id: str, file_id: str) -> StoreFile: ...

    async def files(
        self, store_id: str, page: Page, *, status: LinkStatus | None = None, batch_id: str | None = None
    ) -> StoreFilePage:
        """Return a page of the files of a store, or of one of its batches."""
        ...

    async def set_attributes(self, store_id: str, file_id: str, attributes: Attributes) -> StoreFile:
        """Replace the attributes of a file in a store; searches filter by them at once, nothing is embedded again."""
        ...

    async def detach(self, store_id: str, file_id: str) -> None:
        """Take a file out of a store, also while it is being ingested; the file stays."""
        ...

    async def text(self, store_id: str, file_id: str) -> Sequence[str]:
        """Return the parsed text of a file in a store, in order. Empty while it is not ingested."""
        ...

    async def open(self, store_ids: Sequence[str]) -> Sequence[int]:
        """Return the keys of stores about to be searched, which counts as their use. Raises RequestError (expired)."""
        ...

    async def names(self, links: Sequence[int]) -> Mapping[int, Named]:
        """Return how files in stores, by the key of their place, are shown; those that are gone since are missing."""
        ...


class Hit(Struct, frozen=True):
    """A passage as a search returns it. Offsets are code points of the parsed document; `text` lies between them."""

    file_id: str
    filename: str
    score: float
    text: str
    attributes: Attributes
    start: int
    end: int
    page: int | None


class StoreSearch(Protocol):
    """Search inside stores of one project."""

    async def search(
        self, store_ids: Sequence[str], queries: Sequence[str], *, filter: Filter | None = None, ranking: Ranking
    ) -> Sequence[Hit]:
        """Return the best passages for the wordings of one need, best first.

        Raises NotFoundError (unknown store), RequestError (expired store), UpstreamError (no embedding to be had).
        """
        ...


class Order(Struct, frozen=True, kw_only=True):
    """What to ingest for a claimed work item."""

    sha256: str
    filename: str
    media_type: str | None
    attributes: Attributes
    recipe: Recipe


class Ledger(Protocol):
    """What the ingestion worker reads and writes, across projects. Every write holds only under the item's fence."""

    async def order(self, item: WorkItem) -> Order | None:
        """Return what an `ingest` item asks for; None where it is no longer wanted (deleted, cancelled, expired)."""
        ...

    async def wanted(self, item: WorkItem) -> bool:
        """Tell whether the work is still ours and still wanted."""
        ...

    async def complete(self, item: WorkItem, *, attributes: Attributes, usage_bytes: int) -> bool:
        """Set the file `completed` and finish the item in one transaction; False where it is no longer wanted, or where
        its attributes are not those that the index was given."""
        ...

    async def fail(self, item: WorkItem, fault: Fault) -> bool:
        """Set the file `failed` and finish the item in one transaction; False where it is no longer wanted."""
        ...

    async def attributes(self, item: WorkItem) -> Attributes | None:
        """Return the attributes that the index should show at the item's link; None: it should show nothing there."""
        ...

    async def release(self, item: WorkItem) -> None:
        """Remove the bytes of a deleted file, unless another file has the same."""
        ...

    async def drop_rows(self, item: WorkItem) -> bool:
        """Remove a slice of the rows of a deleted or expired store; False where none is left."""
        ...

    async def expire(self) -> int:
        """Expire stores and files whose time has come and order what follows; return how many."""
        ...


def no_such_store(store_id: str) -> NotFoundError:
    """Return the error for an unknown vector store, in the text that clients match on."""
    return NotFoundError(f"Vector store with id '{store_id[:200]}' not found.")


def expired_store(store_id: str) -> RequestError:
    """Return the error for using an expired vector store."""
    return RequestError(
        f"Vector store with id '{store_id[:200]}' is expired. Create a new vector store and attach the files to it.",
        code="vector_store_expired",
    )
