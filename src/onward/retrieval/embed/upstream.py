"""Embeddings from an OpenAI-compatible ``/embeddings`` endpoint that the operator configured.

It knows no chunks; batching, retries and limits are its own.
"""

from __future__ import annotations

import array
import asyncio
import math
import random
import sys
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING

import msgspec

from onward.ports.embed import Embedder, EmbedError, Lane, Vectors

if TYPE_CHECKING:
    import aiohttp

MAX_TEXTS = 96
MAX_CHARACTERS = 240_000
"""A request stays well under the 300,000 tokens that OpenAI allows."""
ATTEMPTS = 5
MAX_WAIT = 60.0
INGEST_REQUESTS = 4
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class _Row(msgspec.Struct):
    embedding: list[float]
    index: int = -1


class _Body(msgspec.Struct):
    data: list[_Row]


class _Again(Exception):
    """The attempt failed in a way that may pass; ``wait`` is what the upstream asked for, in seconds."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class UpstreamEmbedder(Embedder):
    """Embeds over HTTP; one connection pool a process, ingestion held to a few requests at a time."""

    def __init__(self, base_url: str, *, model: str, api_key: str | None = None, timeout: float = 60.0) -> None:
        self._url = base_url.rstrip("/") + "/embeddings"
        self._model = model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._dimensions = 0
        self._session: aiohttp.ClientSession | None = None
        self._ingesting = asyncio.Semaphore(INGEST_REQUESTS)

    @property
    def model(self) -> str:
        """Return the upstream's model name."""
        return self._model

    @property
    def dimensions(self) -> int:
        """Return the length of a vector, 0 before the first answer."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], *, lane: Lane) -> Vectors:
        """Return one unit vector a text; raises EmbedError after the retries."""
        parts: list[bytes] = []
        for batch in split_batches(texts):
            if lane == "query":
                parts.append(await self._batch(batch))
                continue
            async with self._ingesting:
                parts.append(await self._batch(batch))
        return Vectors(len(texts), self._dimensions, b"".join(parts))

    async def aclose(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _batch(self, texts: Sequence[str]) -> bytes:
        body = msgspec.json.encode({"model": self._model, "input": list(texts), "encoding_format": "float"})
        last = ""
        for attempt in range(ATTEMPTS):
            try:
                raw = await self._post(body)
            except _Again as error:
                last = str(error)
                if attempt + 1 == ATTEMPTS:
                    break
                wait = error.wait if error.wait is not None else 0.5 * 2**attempt * (0.75 + random.random() / 2)
                await asyncio.sleep(min(wait, MAX_WAIT))
                continue
            return await asyncio.to_thread(self._decode, raw, len(texts))
        raise EmbedError(f"The embeddings upstream {self._url} failed {ATTEMPTS} times: {last}")

    async def _post(self, body: bytes) -> bytes:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
        headers = {"Content-Type": "application/json", **self._headers}
        try:
            async with self._session.post(self._url, data=body, headers=headers) as response:
                raw = await response.read()
                if response.status == 200:
                    return raw
                reason = f"HTTP {response.status}: {raw[:300].decode(errors='replace')}"
                if response.status in RETRIED:
                    raise _Again(reason, wait=retry_after(response.headers.get("Retry-After")))
                raise EmbedError(f"The embeddings upstream {self._url} refused: {reason}", retryable=False)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _Again(f"{type(error).__name__}: {error}") from error

    def _decode(self, raw: bytes, expected: int) -> bytes:
        try:
            rows = msgspec.json.decode(raw, type=_Body).data
        except msgspec.DecodeError as error:
            raise EmbedError(f"The embeddings upstream {self._url} answered nonsense: {error}") from error
        if len(rows) != expected:
            raise EmbedError(f"The embeddings upstream {self._url} gave {len(rows)} vectors for {expected} texts.")
        if all(row.index >= 0 for row in rows):
            rows.sort(key=lambda row: row.index)
        self._dimensions = self._dimensions or len(rows[0].embedding)
        if any(len(row.embedding) != self._dimensions for row in rows):
            raise EmbedError(f"The embeddings upstream {self._url} changed the length of its vectors.", retryable=False)
        return b"".join(_unit(row.embedding) for row in rows)


def split_batches(texts: Sequence[str]) -> list[Sequence[str]]:
    """Split texts into requests within the limits on count and characters."""
    batches: list[Sequence[str]] = []
    first, size = 0, 0
    for position, text in enumerate(texts):
        if position > first and (position - first == MAX_TEXTS or size + len(text) > MAX_CHARACTERS):
            batches.append(texts[first:position])
            first, size = position, 0
        size += len(text)
    if first < len(texts):
        batches.append(texts[first:])
    return batches


def retry_after(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header in either of its forms, None without a usable one."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None


def _unit(values: list[float]) -> bytes:
    norm = math.sqrt(math.fsum(value * value for value in values)) or 1.0
    row = array.array("f", [value / norm for value in values])
    if sys.byteorder == "big":
        row.byteswap()
    return row.tobytes()
