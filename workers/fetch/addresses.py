"""The deny list: network addresses that the fetcher must not reach.

The list follows the IANA special-purpose registries (RFC 6890 and updates). It is written out,
because `ipaddress.is_global` of Python 3.11 is wrong for 2002::/16 and fec0::/10 and does not know
cloud metadata addresses.

Of IPv6 only global unicast (2000::/3) is allowed, minus the special networks in it. This one rule
excludes unspecified, loopback, IPv4-mapped (::ffff:0:0/96), discard, unique local (fc00::/7, with
the metadata address fd00:ec2::254), link-local, site-local (fec0::/10) and multicast addresses.
An address that a NAT64 translates is judged by the IPv4 address in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network

from kaption.workers.fetch import nat64

_GLOBAL_V6 = IPv6Network("2000::/3")
_DENIED = {
    ip_network(cidr): what
    for cidr, what in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared address space (carrier-grade NAT)",
        "127.0.0.0/8": "loopback",
        "168.63.129.16/32": "cloud platform (Azure)",
        "169.254.0.0/16": "link-local, cloud metadata",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "IETF protocol assignments",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "6to4 relay",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "2001::/23": "IETF protocol assignments, Teredo",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "3fff::/20": "documentation",
    }.items()
}


class AddressRules:
    """The deny list without the networks that the operator allows.

    Raises ValueError on a network that cannot be read.
    """

    def __init__(self, allow_networks: Iterable[str] = ()) -> None:
        self._allowed = tuple(map(ip_network, allow_networks))

    def refusal(self, address: str, translated: Iterable[IPv6Network] = ()) -> str | None:
        """Why the fetcher must not connect to this numeric address, or None if it may.

        `translated` are the NAT64 prefixes of this network.
        """
        parsed = ip_address(address)
        if any(parsed in network for network in self._allowed):
            return None
        if isinstance(parsed, IPv6Address) and (held := nat64.inside(parsed, translated)):
            reasons = [
                f"{each} by NAT64: {why}" for each in held if (why := self.refusal(str(each)))
            ]
            return next(iter(reasons), None)
        if parsed.version == 6 and parsed not in _GLOBAL_V6:
            return "not a global unicast address"
        return next((what for network, what in _DENIED.items() if parsed in network), None)
