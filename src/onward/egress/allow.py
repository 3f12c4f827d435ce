"""What an operator allows beyond the public internet: hosts, hosts with a port, and networks."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from onward.egress.address import Address, is_public, unmapped


class AllowList:
    """The entries of `egress_allow`. A name is allowed whatever address it has; a network whatever name led to it."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raises ValueError for an entry that is no host, host:port or network."""
        self._hosts: set[str] = set()
        self._places: set[tuple[str, int]] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            if entry.strip():
                self._add(entry.strip().lower())

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(_plain(ip_network(entry.strip("[]"), strict=False)))
            return
        except ValueError:
            pass
        host, colon, port = entry.rpartition(":")
        if not colon:
            host = entry
        elif not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ValueError(f"'{entry}' is no host, host:port or network")
        host = host.strip("[]").rstrip(".")
        if not host or any(character in host for character in "/@ ?#"):
            raise ValueError(f"'{entry}' is no host, host:port or network")
        if colon:
            self._places.add((_canonical(host), int(port)))
        else:
            self._hosts.add(host)

    def names(self, host: str, port: int) -> bool:
        """Tell whether the host itself is allowed on this port."""
        name = _canonical(host.lower().rstrip("."))
        return name in self._hosts or (name, port) in self._places

    def permits(self, address: Address, port: int) -> bool:
        """Tell whether a connection to the address may be made."""
        plain = unmapped(address)
        if any(plain in network for network in self._networks) or (str(plain), port) in self._places:
            return True
        return is_public(address)


def _plain(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return the IPv4 network of an IPv4-mapped one, because addresses are compared without that dress."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network[0].ipv4_mapped is not None:
        return IPv4Network((network[0].ipv4_mapped, network.prefixlen - 96))
    return network


def _canonical(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host
