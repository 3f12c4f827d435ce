"""Where an upstream is, how long to wait for it, how often to try again, and what was learned about it on the way.

Must not know what is sent there. The HTTP client is imported where it is first used: a server without an upstream
starts without it.
"""

import asyncio
import io
import ssl
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from onward.models.profiles import UpstreamKind

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds. `first_byte` runs from the request to the first byte of the answer, `idle` between two reads after it;
    `total` bounds the whole exchange, and alone bounds an answer that is not streamed."""

    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 60.0
    total: float = 1800.0


class Retries(Struct, frozen=True, kw_only=True):
    """How often a request is sent again, only before anything of an answer was relayed.

    Waits `backoff` seconds, doubled each time. An upstream that asks for more than `longest_wait` seconds is not
    waited for.
    """

    limit: int = 2
    backoff: float = 0.5
    longest_wait: float = 2.0


class Endpoint(Struct, frozen=True, kw_only=True):
    """An OpenAI-compatible server. `base_url` is what comes before `/chat/completions`, such as
    `http://127.0.0.1:11434/v1`.

    `label` is its short name in logs and messages. `headers` are sent with every request. `proxy` is an HTTP proxy's
    URL.
    """

    base_url: str
    label: str
    kind: UpstreamKind = "other"
    api_key: str | None = None
    headers: dict[str, str] = {}
    proxy: str | None = None
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()


class Quirks(Struct):
    """What an upstream turned out not to take. Learned from its errors, for as long as the process lives."""

    stream_usage: bool = True
    swap_token_limit: bool = False

    def learn(self, message: str) -> bool:
        """Take an error's text and tell whether the request can be sent again in another form."""
        if self.stream_usage and ("stream_options" in message or "include_usage" in message):
            self.stream_usage = False
            return True
        if not self.swap_token_limit and ("max_tokens" in message and "max_completion_tokens" in message):
            self.swap_token_limit = True
            return True
        return False


class Connections:
    """The connections to all upstreams: one pool for each event loop, made when first used. Close it where it was
    made."""

    def __init__(self, *, limit: int = 4096) -> None:
        self._limit = limit
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    def session(self) -> "aiohttp.ClientSession":
        """Return the pool of the running loop."""
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            import aiohttp

            for gone in [known for known in self._sessions if known.is_closed()]:
                del self._sessions[gone]
            session = self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limit, ttl_dns_cache=30, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                skip_auto_headers=("User-Agent", "Accept"),
                read_bufsize=2**18,
            )
        return session

    async def aclose(self) -> None:
        """Close the pool of the running loop."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Upstream:
    """An endpoint with its pool of connections and what was learned about it. Shared by all of its models."""

    def __init__(self, endpoint: Endpoint, connections: Connections) -> None:
        self.endpoint = endpoint
        self.quirks = Quirks()
        self._connections = connections
        from yarl import URL

        base = URL(endpoint.base_url.rstrip("/"))
        self._chat_url = _append(base, "chat/completions")
        self._models_url = _append(base, "models")
        self._headers = _headers(endpoint)
        self._chat_timeout: aiohttp.ClientTimeout | None = None

    async def post_chat(self, body: bytes) -> "aiohttp.ClientResponse":
        """Send a chat completion request and return its answer once the headers are there. Raises aiohttp's errors."""
        import aiohttp

        if self._chat_timeout is None:
            self._chat_timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.endpoint.timeouts.connect)
        return await self._connections.session().post(
            self._chat_url,
            data=_payload(body),
            headers=self._headers,
            allow_redirects=False,
            proxy=self.endpoint.proxy,
            timeout=self._chat_timeout,
        )

    async def get_models(self, *, timeout: float) -> tuple[int, bytes]:
        """Return status and body of `/models`, at most `timeout` seconds and 8 MiB. Raises aiohttp's errors and
        TimeoutError."""
        import aiohttp

        async with self._connections.session().get(
            self._models_url,
            headers=self._headers,
            allow_redirects=False,
            proxy=self.endpoint.proxy,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as answer:
            return answer.status, await read_limited(answer, 8 * 1024 * 1024)


async def read_limited(answer: "aiohttp.ClientResponse", limit: int) -> bytes:
    """Return at most `limit` bytes of the body; what is beyond is not read."""
    blocks: list[bytes] = []
    size = 0
    while size < limit and (block := await answer.content.readany()):
        blocks.append(block)
        size += len(block)
    return b"".join(blocks)[:limit]


def is_connect_fault(error: BaseException) -> bool:
    """Tell whether no connection could be made at all."""
    import aiohttp

    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | ssl.SSLError)


def _append(base: "URL", path: str) -> "URL":
    joined = base.joinpath(*path.split("/"))
    return joined.with_query(base.query) if base.query else joined


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "onward"}
    if endpoint.api_key:
        if endpoint.kind == "azure":
            headers["api-key"] = endpoint.api_key
        else:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
    return headers | endpoint.headers


def _payload(body: bytes) -> "aiohttp.Payload":
    """Bodies with images are sent in pieces, so that one of them does not hold the event loop."""
    import aiohttp

    if len(body) < 512 * 1024:
        return aiohttp.BytesPayload(body)
    return aiohttp.BytesIOPayload(io.BytesIO(body))
