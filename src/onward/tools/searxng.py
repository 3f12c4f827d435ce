"""A search endpoint that speaks as SearXNG does: `GET ?q=…&format=json` answers `{"results": [{url, title, content}]}`.

It is configured by the operator, so it is reached without the guard for URLs of requests. It knows no models.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from onward.tools.web_search import Found, SearchFailed

if TYPE_CHECKING:
    import aiohttp

SECONDS: Final = 15.0
MAX_ANSWER: Final = 4 * 1024 * 1024
_LANGUAGES: Final = {"US": "en-US", "GB": "en-GB", "DE": "de-DE", "FR": "fr-FR", "ES": "es-ES", "IT": "it-IT"}
"""Language of a country's results, where the country says it."""


class _Answer(Struct, frozen=True):
    results: list[Found] = []


_read = msgspec.json.Decoder(_Answer).decode


class SearxngSearch:
    """Implements `WebSearch`; one connection pool a process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def find(self, query: str, *, country: str | None) -> Sequence[Found]:
        """Return pages, best first. Raises SearchFailed."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=SECONDS), headers={"Accept": "application/json"}
            )
        language = _LANGUAGES.get((country or "").upper())
        params = {"q": query, "format": "json"} | ({"language": language} if language else {})
        try:
            async with self._session.get(self._url, params=params) as response:
                if response.status != 200:
                    raise SearchFailed(f"the search endpoint answered with status {response.status}.")
                body = await _whole(response)
            return _read(body).results
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise SearchFailed("the search endpoint did not answer with results as JSON.") from error
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise SearchFailed("the search endpoint cannot be reached or was too slow.") from error

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _whole(response: "aiohttp.ClientResponse") -> bytes:
    body = bytearray()
    async for block in response.content.iter_any():
        body += block
        if len(body) > MAX_ANSWER:
            raise SearchFailed("the search endpoint's answer is too large.")
    return bytes(body)
