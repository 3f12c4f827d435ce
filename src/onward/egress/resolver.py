"""Names become addresses here and nowhere else: what was checked is what is connected to.

The HTTP client asks this resolver once for each new connection and connects to what it returns, so a name that answers
differently a moment later gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from onward.egress.allow import AllowList
from onward.ports.egress import EgressError

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name, as text, in order of preference. Raises OSError."""


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]) for *_, place in found]


class CheckedResolver(AbstractResolver):
    """Resolves names and leaves out every address that must not be reached."""

    def __init__(self, allow: AllowList, lookup: Lookup) -> None:
        self._allow = allow
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the permitted addresses of `host`. Raises EgressError where it has none."""
        del family
        found = await self._lookup(host, port)
        named = self._allow.names(host, port)
        allowed = [one for one in found if named or _permitted(self._allow, one, port)]
        if not allowed:
            raise refused(host) if found else OSError(f"{host} has no address")
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for one in dict.fromkeys(allowed)
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _permitted(allow: AllowList, address: str, port: int) -> bool:
    try:
        return allow.permits(ip_address(address), port)
    except ValueError:
        return False


def refused(host: str) -> EgressError:
    """Return the error for a destination that is not public; it does not tell what the name resolves to."""
    return EgressError(
        f"The host '{host}' is not reachable from this server: it is not a public address. "
        "The operator can allow it with ONWARD_EGRESS_ALLOW.",
        reason="refused",
    )
