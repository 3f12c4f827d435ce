"""The guarded client: requests to URLs from outside, with every hop checked and every quantity bounded.

It sends nothing of the server's own: no cookies, no credentials, no proxy settings of the environment.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import aiohttp
from msgspec import Struct

from onward.egress.allow import AllowList
from onward.egress.filename import filename_of, media_type_of
from onward.egress.inflate import Inflater
from onward.egress.resolver import CheckedResolver, Lookup, refused, system_lookup
from onward.egress.target import Target, invalid, read_target
from onward.ports.egress import EgressError, Fetched, Receiving, Sending

MAX_REDIRECTS: Final = 5
MAX_CONNECTIONS: Final = 256
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
OWNED_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that only the client itself may set: they say where a message goes and where it ends."""


class EgressLimits(Struct, frozen=True, kw_only=True):
    """Seconds and bytes: `total` bounds a whole fetch with its redirects, `body` an answer that streams."""

    connect: float = 10.0
    read: float = 20.0
    total: float = 60.0
    body: int = 64 * 1024 * 1024


class GuardedClient:
    """Implements `Egress`. `lookup` resolves names; `allow` lists what the operator permits beyond the internet."""

    def __init__(
        self, allow: Iterable[str] = (), *, limits: EgressLimits | None = None, lookup: Lookup = system_lookup
    ) -> None:
        self._allow = AllowList(allow)
        self._limits = limits or EgressLimits()
        self._lookup = lookup
        self._session: aiohttp.ClientSession | None = None

    def check(self, url: str) -> None:
        """Check the form of a URL and, where its host is an address, the address. Raises EgressError."""
        self._target(url)

    async def fetch(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """GET a document of at most `limit` bytes over at most five checked redirects. Raises EgressError."""
        sent = tuple((headers or {}).items())
        try:
            async with asyncio.timeout(self._limits.total):
                target = self._target(url)
                for _ in range(MAX_REDIRECTS + 1):
                    sending = Sending(method="GET", url=url, headers=sent, read_seconds=self._limits.read)
                    async with self._exchange(target, sending, limit) as answer:
                        if answer.status not in REDIRECTS:
                            return await _document(answer, target)
                        target = self._next(answer, target)
        except TimeoutError as error:
            raise EgressError("The other side was too slow.", reason="timeout") from error
        raise EgressError(f"There were more than {MAX_REDIRECTS} redirects.", reason="redirects")

    @asynccontextmanager
    async def send(self, sending: Sending) -> AsyncGenerator[Receiving]:
        """Send one request and receive its answer as it comes. Raises EgressError."""
        async with self._exchange(self._target(sending.url), sending, self._limits.body) as answer:
            yield answer

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _target(self, url: str) -> Target:
        target = read_target(url)
        self._check_address(target)
        return target

    def _check_address(self, target: Target) -> None:
        """Refuse an address that is written in the URL: the HTTP client connects to such without resolving."""
        if target.address is None or self._allow.names(target.host, target.port):
            return
        if not self._allow.permits(target.address, target.port):
            raise refused(target.host)

    def _next(self, answer: "_Answer", target: Target) -> Target:
        location = next((value for name, value in answer.headers if name == "location"), None)
        if not location:
            raise EgressError("The answer is a redirect to nowhere.", reason="malformed")
        following = read_target(location, base=target.url)
        self._check_address(following)
        return following

    @asynccontextmanager
    async def _exchange(self, target: Target, sending: Sending, limit: int) -> AsyncGenerator["_Answer"]:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._limits.connect, sock_read=sending.read_seconds, connect=self._limits.total
        )
        headers = [(name, value) for name, value in sending.headers if name.lower() not in OWNED_HEADERS]
        request = self._connections().request(
            sending.method,
            target.url,
            headers=[*headers, ("Accept-Encoding", "gzip, deflate")],
            data=sending.body or None,
            timeout=timeout,
            allow_redirects=False,
        )
        try:
            response = await request
        except (aiohttp.ClientError, OSError, ValueError) as error:
            _raise(error, target)
        try:
            yield _Answer(response, target, limit)
        finally:
            # Closed, not drained: what the caller did not read is not worth reading.
            response.close()

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(self._allow, self._lookup),
                use_dns_cache=False,
                limit=MAX_CONNECTIONS,
                keepalive_timeout=15,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "Onward"},
            )
        return self._session


class _Answer:
    """Implements `Receiving` over an answer of the HTTP client."""

    def __init__(self, response: aiohttp.ClientResponse, target: Target, limit: int) -> None:
        self._response = response
        self._target = target
        self._limit = limit
        self.status = response.status
        self.headers = tuple((name.lower(), value) for name, value in response.headers.items())

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the decompressed body, never more than the limit. Raises EgressError."""
        declared = self._response.content_length
        if declared is not None and declared > self._limit:
            raise _too_large(self._limit)
        inflater = Inflater(self._response.headers.get("Content-Encoding"))
        received = produced = 0
        try:
            async for data in self._response.content.iter_any():
                received += len(data)
                for block in inflater.feed(data):
                    produced += len(block)
                    if max(received, produced) > self._limit:
                        raise _too_large(self._limit)
                    yield block
        except (aiohttp.ClientError, OSError) as error:
            _raise(error, self._target)


async def _document(answer: _Answer, target: Target) -> Fetched:
    if not 200 <= answer.status < 300:
        raise EgressError(f"Upstream status code: {answer.status}.", reason="status", upstream_status=answer.status)
    body = bytearray()
    async for block in answer.chunks():
        body += block
    headers = dict(answer.headers)
    return Fetched(
        str(target.url),
        media_type_of(headers.get("content-type")),
        filename_of(headers.get("content-disposition"), target.url.path),
        bytes(body),
    )


def _too_large(limit: int) -> EgressError:
    return EgressError(f"The answer has more than {limit} bytes.", reason="too_large")


def _raise(error: Exception, target: Target) -> NoReturn:
    """Raise what went wrong on the network, without addresses: a client must not learn the network by errors."""
    if isinstance(error, TimeoutError):
        raise EgressError("The other side was too slow.", reason="timeout") from error
    if isinstance(error, aiohttp.ClientConnectorError | OSError):
        raise EgressError(f"The host '{target.host}' cannot be reached.", reason="unreachable") from error
    if isinstance(error, aiohttp.InvalidURL):
        raise invalid("it cannot be read") from error
    raise EgressError("The other side did not answer as HTTP asks.", reason="malformed") from error
