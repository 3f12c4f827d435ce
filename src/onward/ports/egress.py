"""The seam to the network behind URLs that came from a request: a guarded client, whatever the URL says.

Who fetches through it knows no sockets; it learns what came back, or why nothing may or did.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from msgspec import Struct

from onward.core.errors import RequestError

EgressReason = Literal["invalid", "refused", "unreachable", "timeout", "status", "redirects", "too_large", "malformed"]


class EgressError(RequestError):
    """The URL could not be fetched.

    `reason` says why; `upstream_status` is the HTTP status where the other side answered with an error.
    """

    def __init__(self, message: str, *, reason: EgressReason, upstream_status: int | None = None) -> None:
        super().__init__(message, code="invalid_value")
        self.reason: EgressReason = reason
        self.upstream_status = upstream_status


class Fetched(Struct, frozen=True):
    """A document as it was fetched. `url` is where the last redirect led; `media_type` is lower case, without
    parameters."""

    url: str
    media_type: str | None
    filename: str | None
    body: bytes


class Sending(Struct, frozen=True, kw_only=True):
    """One request as a caller made it; `read_seconds` is the longest silence that is waited out."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    read_seconds: float = 60.0


class Receiving(Protocol):
    """One answer whose body is still coming."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> tuple[tuple[str, str], ...]: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the decompressed body. Raises EgressError (too large, timeout, cut)."""
        ...


class Egress(Protocol):
    """The guarded client of one server process."""

    def check(self, url: str) -> None:
        """Check the form of a URL without looking anything up. Raises EgressError."""
        ...

    async def fetch(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """GET a document of at most `limit` bytes, decompressed, over at most five checked redirects.

        Raises EgressError.
        """
        ...

    def send(self, sending: Sending) -> AbstractAsyncContextManager[Receiving]:
        """Send one request and receive its answer as it comes; redirects are answers. Raises EgressError."""
        ...
