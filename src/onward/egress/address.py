"""Which IP addresses a request from outside must not reach: everything that is not the public internet.

Networks are listed here, because what `ipaddress` calls global differs from one Python to the next. Sources: the IANA
special-purpose address registries, RFC 6052 (NAT64), RFC 3056 (6to4), RFC 5214 (ISATAP).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address

_CLOSED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host agent of a large cloud: public by number, internal by nature
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64: Final = IPv6Network("64:ff9b::/96")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


def is_public(address: Address) -> bool:
    """Tell whether the address is one of the public internet, also by what it embeds."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    embedded = embedded_v4(address)
    if embedded is not None and not is_public(embedded):
        return False
    if address in _MAPPED or address in _NAT64:
        return True
    return address in _GLOBAL_V6 and not any(address in network for network in _CLOSED_V6)


def embedded_v4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to `address` would end at, where its form carries one."""
    number = int(address)
    if address in _MAPPED or address in _NAT64 or (number >> 32 == 0 and number > 1):
        return IPv4Address(number & 0xFFFF_FFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((number >> 80) & 0xFFFF_FFFF)
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        return IPv4Address(number & 0xFFFF_FFFF)
    return None


def unmapped(address: Address) -> Address:
    """Return the IPv4 address of an IPv4-mapped one: the two are one destination."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
