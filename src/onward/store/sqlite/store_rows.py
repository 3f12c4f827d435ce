"""Rows of vector stores, their files and batches as structs, and the queries that every part of that room shares."""

from typing import Final

import msgspec

from onward.core import clock
from onward.core.errors import NotFoundError
from onward.ports.filters import Attributes
from onward.ports.parse import Recipe
from onward.ports.vector_stores import (
    Fault,
    FaultCode,
    FileBatch,
    FileCounts,
    LinkStatus,
    StoreFile,
    VectorStore,
    expired_store,
    no_such_store,
)
from onward.store.sqlite.cursor import Cursor, first

_COUNTS: Final = "in_progress, completed, failed, cancelled"
STORE_COLUMNS: Final = (
    f"key, id, name, description, metadata, created_at, last_active_at, expires_days, expired, {_COUNTS}, usage_bytes"
)
BATCH_COLUMNS: Final = f"key, id, created_at, stopped, {_COUNTS}"
LINK_COLUMNS: Final = (
    "l.key, f.id, l.status, l.error_code, l.error_message, l.usage_bytes, l.created_at, l.attributes,"
    " l.max_tokens, l.overlap_tokens"
)
LINKS: Final = "vector_store_files AS l JOIN files AS f ON f.project = l.project AND f.key = l.file"

_STORE = f"SELECT {STORE_COLUMNS} FROM vector_stores WHERE project = ? AND id = ? AND deleted = 0"
_BATCH = f"SELECT {BATCH_COLUMNS} FROM file_batches WHERE project = ? AND store = ? AND id = ?"
_LINK = f"SELECT {LINK_COLUMNS} FROM {LINKS} WHERE l.project = ? AND l.store = ? AND f.id = ? AND l.deleted = 0"

SECONDS_A_DAY: Final = 86_400

_encode = msgspec.json.Encoder().encode
decode_attributes = msgspec.json.Decoder(Attributes).decode


def encode_attributes(attributes: Attributes) -> bytes:
    """Return attributes as JSON; what is decoded from it encodes to the same bytes again, so rows compare by it."""
    return _encode(
        {
            key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
            for key, value in attributes.items()
        }
    )


def is_expired(expired: int, last_active_at: float, expires_days: int | None) -> bool:
    """Tell whether a store is expired: marked so, or due to be."""
    return bool(expired) or (expires_days is not None and last_active_at + expires_days * SECONDS_A_DAY <= clock.now())


def read_store(
    key: int,
    public_id: str,
    name: str,
    description: str | None,
    metadata: bytes,
    created_at: float,
    last_active_at: float,
    expires_days: int | None,
    expired: int,
    in_progress: int,
    completed: int,
    failed: int,
    cancelled: int,
    usage_bytes: int,
) -> VectorStore:
    """Return the struct of a row of STORE_COLUMNS; an expired store has no files any more."""
    gone = is_expired(expired, last_active_at, expires_days)
    return VectorStore(
        key=key,
        id=public_id,
        name=name,
        description=description,
        metadata=metadata,
        created_at=created_at,
        last_active_at=last_active_at,
        expires_days=expires_days,
        expired=gone,
        counts=FileCounts() if gone else FileCounts(in_progress, completed, failed, cancelled),
        usage_bytes=0 if gone else usage_bytes,
    )


def find_store(cursor: Cursor, project: int, store_id: str) -> VectorStore:
    """Return a store that was not deleted. Raises NotFoundError."""
    row = first(cursor, _STORE, (project, store_id))
    if row is None:
        raise no_such_store(store_id)
    return read_store(*row)


def usable_store(cursor: Cursor, project: int, store_id: str) -> VectorStore:
    """Return a store that can be used. Raises NotFoundError, RequestError for an expired one."""
    store = find_store(cursor, project, store_id)
    if store.expired:
        raise expired_store(store_id)
    return store


def find_batch(cursor: Cursor, project: int, store: VectorStore, batch_id: str) -> FileBatch:
    """Return a batch of a store. Raises NotFoundError."""
    row = first(cursor, _BATCH, (project, store.key, batch_id))
    if row is None:
        raise NotFoundError(f"No file batch found with id '{batch_id[:200]}' in vector store '{store.id}'.")
    return read_batch(store.id, *row)


def read_batch(
    store_id: str,
    key: int,
    public_id: str,
    created_at: float,
    stopped: int,
    in_progress: int,
    completed: int,
    failed: int,
    cancelled: int,
) -> FileBatch:
    """Return the struct of a row of BATCH_COLUMNS."""
    return FileBatch(
        key=key,
        id=public_id,
        store_id=store_id,
        created_at=created_at,
        stopped=bool(stopped),
        counts=FileCounts(in_progress, completed, failed, cancelled),
    )


def find_link(cursor: Cursor, project: int, store: VectorStore, file_id: str) -> StoreFile:
    """Return a file's place in a store. Raises NotFoundError."""
    row = None if store.expired else first(cursor, _LINK, (project, store.key, file_id))
    if row is None:
        raise NotFoundError(f"No file found with id '{file_id[:200]}' in vector store '{store.id}'.")
    return read_link(store.id, *row)


def read_link(
    store_id: str,
    key: int,
    file_id: str,
    status: LinkStatus,
    error_code: FaultCode | None,
    error_message: str | None,
    usage_bytes: int,
    created_at: float,
    attributes: bytes,
    max_tokens: int,
    overlap_tokens: int,
) -> StoreFile:
    """Return the struct of a row of LINK_COLUMNS."""
    return StoreFile(
        key=key,
        file_id=file_id,
        store_id=store_id,
        status=status,
        fault=None if error_code is None else Fault(error_code, error_message or ""),
        usage_bytes=usage_bytes,
        created_at=created_at,
        attributes=decode_attributes(attributes),
        recipe=Recipe(max_tokens, overlap_tokens),
    )
