"""What an upstream says it serves: the names and windows of `/models`, kept for a short time.

An upstream that cannot list its models is no fault: what it serves is then found out by asking it.
"""

import asyncio
import time
from typing import Final

import msgspec
from msgspec import Struct

from onward.models.chat_completions import Upstream
from onward.models.chat_completions.wire import ListedModel, read_model_list

_NOT_CHAT: Final = ("embed", "bge-", "rerank", "whisper", "tts", "dall-e", "moderation", "transcribe", "e5-", "minilm")


class Listing(Struct, frozen=True):
    """Names → context window in tokens, None where it is not said. `known` is False where the upstream gave no list."""

    windows: dict[str, int | None] = {}
    owners: frozenset[str] = frozenset()
    known: bool = False

    def default(self) -> str | None:
        """Return the first model that can chat, None where there is none."""
        return next((name for name in self.windows if can_chat(name)), None)


class Listings:
    """The listing of one upstream, fetched at most once in `ttl` seconds, within `timeout` seconds."""

    def __init__(self, upstream: Upstream, *, ttl: float = 60.0, timeout: float = 1.5) -> None:
        self._upstream = upstream
        self._ttl = ttl
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._listing = Listing()
        self._fetched: float | None = None

    async def get(self) -> Listing:
        """Return the listing; the last one that was good while the upstream does not answer."""
        if self._is_fresh():
            return self._listing
        async with self._lock:
            if not self._is_fresh():
                listing = await fetch_listing(self._upstream, timeout=self._timeout)
                if listing.known or not self._listing.known:
                    self._listing = listing
                self._fetched = time.monotonic()
            return self._listing

    def _is_fresh(self) -> bool:
        return self._fetched is not None and time.monotonic() - self._fetched < self._ttl


async def fetch_listing(upstream: Upstream, *, timeout: float) -> Listing:
    """Return what the upstream lists now; an unknown listing where it does not within `timeout` seconds."""
    import aiohttp

    try:
        status, body = await upstream.get_models(timeout=timeout)
        if status != 200:
            return Listing()
        entries = read_model_list.decode(body).data
    except (aiohttp.ClientError, OSError, msgspec.DecodeError):
        return Listing()
    if entries is None:
        return Listing()
    return Listing(
        windows={entry.id: _window(entry) for entry in entries},
        owners=frozenset(entry.owned_by for entry in entries if entry.owned_by),
        known=True,
    )


def can_chat(name: str) -> bool:
    """Tell whether a model of this name probably answers chats: embedding, speech and ranking models do not."""
    lowered = name.lower()
    return not any(word in lowered for word in _NOT_CHAT)


def _window(entry: ListedModel) -> int | None:
    window = entry.max_model_len or entry.context_length or entry.context_window or entry.max_context_length
    if window is None and entry.meta is not None:
        served = entry.meta.get("n_ctx")
        window = served if isinstance(served, int) else None
    return window if window and window > 0 else None
