"""The guarded client, made with its first use: a server whose requests name no URL starts without an HTTP client."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from onward.egress.allow import AllowList
from onward.ports.egress import Fetched, Receiving, Sending

if TYPE_CHECKING:
    from onward.egress.client import GuardedClient


class LazyClient:
    """Implements `Egress`."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._entries = tuple(allow)
        AllowList(self._entries)  # a wrong entry is told at start
        self._client: GuardedClient | None = None

    def check(self, url: str) -> None:
        """Check the form of a URL without looking anything up. Raises EgressError."""
        self._made().check(url)

    async def fetch(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """GET a document. Raises EgressError."""
        return await self._made().fetch(url, limit=limit, headers=headers)

    def send(self, sending: Sending) -> AbstractAsyncContextManager[Receiving]:
        """Send one request and receive its answer as it comes. Raises EgressError."""
        return self._made().send(sending)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    def _made(self) -> "GuardedClient":
        if self._client is None:
            from onward.egress.client import GuardedClient

            self._client = GuardedClient(self._entries)
        return self._client
