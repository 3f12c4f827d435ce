"""The seam to the bytes of files: content-addressed inside a project, never across projects.

It knows no file objects, names or purposes; who refers to a blob is the store's business.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class Blob(Struct, frozen=True):
    """Bytes that are stored: `sha256` in hexadecimal, `size` in bytes."""

    sha256: str
    size: int


class BlobWriter(Protocol):
    """Bytes on their way to disk. Nothing of them is visible before `commit`."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    async def write(self, data: bytes) -> None:
        """Append bytes. Raises PayloadTooLargeError beyond the limit that the writer was opened with."""
        ...

    async def seal(self) -> Blob:
        """Flush the bytes to disk and return their address; they are not in the store yet."""
        ...

    async def publish(self) -> None:
        """Move sealed bytes to their address, while `Blobs.hold` of that address is held."""
        ...


class Blobs(Protocol):
    """The blobs of every project."""

    def writer(self, project: int, *, limit: int) -> AbstractAsyncContextManager[BlobWriter]:
        """Open a writer; leaving the context without `publish` leaves nothing on disk."""
        ...

    def hold(self, project: int, sha256: str) -> AbstractAsyncContextManager[None]:
        """Keep every other process from publishing or removing this blob, while references to it change."""
        ...

    def path(self, project: int, sha256: str) -> Path:
        """Return where the bytes are, for readers that take a path."""
        ...

    def read(self, project: int, sha256: str, *, chunk: int = 256 * 1024) -> AsyncIterator[bytes]:
        """Iterate over the bytes. Raises FileNotFoundError before the first chunk where there is no such blob."""
        ...

    async def remove(self, project: int, sha256: str) -> bool:
        """Remove a blob, while `hold` is held; False where there was none."""
        ...

    async def sweep(self) -> int:
        """Remove what writers of dead processes left behind; return how many files."""
        ...
