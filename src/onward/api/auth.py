"""API keys become projects. Verified keys are remembered for a moment, so that a request costs no read."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import Final
from urllib.parse import urlsplit

from onward.api.services import Project
from onward.core.errors import AuthenticationError, PermissionError_
from onward.ports.keys import Keys

REMEMBER_SECONDS: Final = 2.0
"""A revoked key is refused at most so much later by other processes."""

REMEMBERED: Final = 4096


class ApiKeyAuthenticator:
    """Checks keys against the preset one and the stored ones; with neither, every caller is the default project."""

    def __init__(
        self, keys: Keys, *, preset: str | None, default_project: int, project: Callable[[int], Project]
    ) -> None:
        self._keys = keys
        self._preset = _digest(preset) if preset else None
        self._default = default_project
        self._project = project
        self._seen: OrderedDict[tuple[str | None, str, str], tuple[float, int]] = OrderedDict()

    async def authenticate(self, key: str | None, *, host: str, origin: str) -> Project:
        """Return the project of an API key. Raises AuthenticationError, PermissionError_."""
        caller = (key, host, origin)
        seen = self._seen.get(caller)
        if seen is not None and seen[0] > time.monotonic():
            return self._project(seen[1])
        project = await self._verify(key, host, origin)
        self._seen[caller] = (time.monotonic() + REMEMBER_SECONDS, project)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return self._project(project)

    async def required(self) -> bool:
        """Tell whether callers need a key."""
        return self._preset is not None or await self._keys.any()

    async def _verify(self, key: str | None, host: str, origin: str) -> int:
        if self._preset is not None and compare_digest(self._preset, _digest(key or "")):
            return self._default
        if not await self.required():
            _check_local(host, origin)
            return self._default
        if not key:
            raise AuthenticationError(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            )
        project = await self._keys.verify(key)
        if project is None:
            shown = f"{key[:3]}{'*' * 8}{key[-4:]}" if len(key) > 11 else "*" * len(key)
            raise AuthenticationError(f"Incorrect API key provided: {shown}.", code="invalid_api_key")
        return project


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def _check_local(host: str, origin: str) -> None:
    """Refuse web pages of other hosts, by their origin or by a name made to resolve to this machine."""
    for name in (host, urlsplit(origin).netloc if origin not in ("", "null") else ""):
        if name and not is_local_name(name):
            raise PermissionError_(
                f"Without an API key this server answers only callers on this machine, not '{name[:100]}'. "
                "Create one with `onward keys create`."
            )


def is_local_name(netloc: str) -> bool:
    """Tell whether a host (with or without a port) cannot be a web site of somebody else's.

    Loopback addresses and `localhost` are local, and so is a name without a dot: no public name server answers for it.
    """
    try:
        name = urlsplit(f"//{netloc}").hostname or ""
        dotless = not {".", ":"} & set(name.removesuffix(".localhost"))
        return dotless or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
