"""Wire forms of vector stores, their files and batches."""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from onward.api.resources.strategies import ExpiresAfter, StaticStrategy, shown_attributes, strategy_of
from onward.ports.vector_stores import FileBatch, FileCounts, StoreFile, VectorStore

encode = msgspec.json.Encoder().encode


class CountsView(Struct, frozen=True):
    """Files by status, with their sum."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class StoreView(Struct, frozen=True, kw_only=True):
    """A vector store as clients see it."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None
    usage_bytes: int
    file_counts: CountsView
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfter | None
    expires_at: int | None
    last_active_at: int
    metadata: Raw


class FaultView(Struct, frozen=True):
    """Why a file failed."""

    code: str
    message: str


class StoreFileView(Struct, frozen=True, kw_only=True):
    """A file of a vector store as clients see it."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    usage_bytes: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    last_error: FaultView | None
    chunking_strategy: StaticStrategy
    attributes: dict[str, str | float | bool]


class BatchView(Struct, frozen=True, kw_only=True):
    """A batch of files as clients see it."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    file_counts: CountsView


def store_view(store: VectorStore) -> StoreView:
    """Return the wire form of a store."""
    expires_at = store.expires_at
    return StoreView(
        id=store.id,
        created_at=int(store.created_at),
        name=store.name,
        description=store.description,
        usage_bytes=store.usage_bytes,
        file_counts=_counts(store.counts),
        status="expired" if store.expired else "in_progress" if store.counts.in_progress else "completed",
        expires_after=None if store.expires_days is None else ExpiresAfter("last_active_at", store.expires_days),
        expires_at=None if expires_at is None else int(expires_at),
        last_active_at=int(store.last_active_at),
        metadata=Raw(store.metadata),
    )


def file_view(file: StoreFile) -> StoreFileView:
    """Return the wire form of a file in a store."""
    return StoreFileView(
        id=file.file_id,
        created_at=int(file.created_at),
        usage_bytes=file.usage_bytes,
        vector_store_id=file.store_id,
        status=file.status,
        last_error=None if file.fault is None else FaultView(file.fault.code, file.fault.message),
        chunking_strategy=strategy_of(file.recipe),
        attributes=shown_attributes(file.attributes),
    )


def batch_view(batch: FileBatch) -> BatchView:
    """Return the wire form of a batch: `failed` where not one of its files could be ingested."""
    counts = batch.counts
    status: Literal["in_progress", "completed", "cancelled", "failed"] = "completed"
    if batch.stopped:
        status = "cancelled"
    elif counts.in_progress:
        status = "in_progress"
    elif counts.total and counts.failed == counts.total:
        status = "failed"
    return BatchView(
        id=batch.id,
        created_at=int(batch.created_at),
        vector_store_id=batch.store_id,
        status=status,
        file_counts=_counts(counts),
    )


def _counts(counts: FileCounts) -> CountsView:
    return CountsView(counts.in_progress, counts.completed, counts.failed, counts.cancelled, counts.total)


POLL_STEPS: Final = ((8, 100), (64, 250))


def poll_headers(in_progress: int) -> dict[str, str] | None:
    """Return the header that paces the SDKs' poll helpers: more files are asked about less often."""
    if not in_progress:
        return None
    return {"openai-poll-after-ms": str(next((pause for most, pause in POLL_STEPS if in_progress <= most), 500))}
