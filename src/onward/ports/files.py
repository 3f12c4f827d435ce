"""The seam to files as API objects: names, purposes and expiry over content-addressed bytes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Literal, Protocol

from msgspec import Struct

from onward.core.errors import NotFoundError
from onward.ports.runs import Page

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
"""Largest file, in bytes."""

Purpose = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
    "evals",
]

FileStatus = Literal["uploaded", "processed", "error"]


class File(Struct, frozen=True, kw_only=True):
    """A file of one project. `key` is internal; times are seconds since the epoch; `sha256` addresses its bytes."""

    key: int
    id: str
    filename: str
    purpose: Purpose
    size: int
    sha256: str
    media_type: str | None
    created_at: float
    expires_at: float | None = None
    status: FileStatus = "processed"
    status_details: str | None = None


class NewFile(Struct, frozen=True, kw_only=True):
    """What is said of bytes when they become a file. `expires_in` counts seconds from its creation."""

    filename: str
    purpose: Purpose
    media_type: str | None = None
    expires_in: int | None = None


class FilePage(Struct, frozen=True):
    """One page of files, in the order asked for."""

    files: Sequence[File]
    has_more: bool


class Incoming(Protocol):
    """A file that is being uploaded. Nothing of it is visible before `finish`."""

    @property
    def size(self) -> int:
        """Bytes received so far."""
        ...

    async def write(self, data: bytes) -> None:
        """Append bytes. Raises PayloadTooLargeError beyond MAX_FILE_BYTES."""
        ...

    async def finish(self, new: NewFile) -> File:
        """Make the bytes a file; durable when it returns."""
        ...


class Files(Protocol):
    """Files of one project. An expired file is gone like a deleted one."""

    def receive(self) -> AbstractAsyncContextManager[Incoming]:
        """Open an upload; leaving the context without `finish` leaves nothing."""
        ...

    async def get(self, file_id: str) -> File:
        """Return a file. Raises NotFoundError."""
        ...

    async def page(self, page: Page, *, purpose: str | None = None) -> FilePage:
        """Return a page of files; cursors stay valid after their file was deleted. Raises RequestError."""
        ...

    async def delete(self, file_id: str) -> None:
        """Delete a file and take it out of every vector store at once. Raises NotFoundError."""
        ...

    def path(self, file: File) -> Path:
        """Return where the bytes of a file are."""
        ...

    def read(self, file: File) -> AsyncIterator[bytes]:
        """Iterate over the bytes of a file."""
        ...


def no_such_file(file_id: str, *, param: str = "id") -> NotFoundError:
    """Return the error for an unknown file, in the text that clients match on."""
    return NotFoundError(f"No such File object: {file_id}", param=param)
