"""A URL from outside, read once: the very object that was checked is the one that is requested."""

import re
from ipaddress import IPv4Address, ip_address
from typing import Final

from msgspec import Struct
from yarl import URL

from onward.egress.address import Address
from onward.ports.egress import EgressError

MAX_URL: Final = 8192
_UNWANTED: Final = re.compile(r"[\x00-\x20\x7f\\]")
_USERINFO: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//[^/?#]*@", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z", re.IGNORECASE)
_HOST: Final = re.compile(r"[a-z0-9_.:-]{1,253}\Z")


class Target(Struct, frozen=True):
    """A checked URL; `address` is set where its host is an IP address."""

    url: URL
    host: str
    port: int
    address: Address | None


def read_target(url: str, *, base: URL | None = None) -> Target:
    """Return the target of a URL, relative to `base` where it is a redirect. Raises EgressError."""
    if len(url) > MAX_URL or _UNWANTED.search(url):
        raise invalid("it contains characters that a URL must not have, or too many of them")
    try:
        parsed = URL(url) if base is None else base.join(URL(url))
        host, port = parsed.host, parsed.port
    except (ValueError, UnicodeError) as error:
        raise invalid("it cannot be read") from error
    if parsed.scheme not in ("http", "https"):
        raise invalid("only http and https are supported")
    if not host or not port:
        raise invalid("it names no host or port")
    if parsed.raw_user is not None or parsed.raw_password is not None or _USERINFO.match(url):
        raise invalid("it must not contain a user name or password")
    name = (parsed.raw_host or "").lower()
    address = _literal(name)
    if address is None and _HOST.match(name) is None:
        raise invalid("its host name is not valid")
    return Target(parsed.with_fragment(None), name, port, address)


def _literal(host: str) -> Address | None:
    """Return the address that a host is. Raises EgressError for numbers that only some programs read as one."""
    try:
        address = ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        if _NUMBER.match(last) or ":" in host:
            raise invalid("its host is an unusual spelling of an address") from None
        return None
    if not isinstance(address, IPv4Address) and address.scope_id is not None:
        raise invalid("its host is an unusual spelling of an address")
    return address


def invalid(why: str) -> EgressError:
    """Return the error for a URL that is refused by its form."""
    return EgressError(f"Expected a valid http or https URL, but {why}.", reason="invalid")
