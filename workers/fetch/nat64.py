"""Finds the IPv4 address inside an IPv6 address that a NAT64 translates (RFC 6052).

A network without IPv4 reaches IPv4 hosts through a translator, and its name server makes IPv6
addresses for them (DNS64). Such an address is as safe as the IPv4 address in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# The bytes of the IPv4 address for each length of the prefix. Byte 8 is never used.
_PLACES = {
    32: (4, 5, 6, 7),
    40: (5, 6, 7, 9),
    48: (6, 7, 9, 10),
    56: (7, 9, 10, 11),
    64: (9, 10, 11, 12),
    96: (12, 13, 14, 15),
}
_WELL_KNOWN = IPv6Network("64:ff9b::/96")
_LOCAL = IPv6Network("64:ff9b:1::/48")  # RFC 8215: a network puts prefixes of any length into it
_ASKED = "ipv4only.arpa"
_ANSWERS = (IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171"))
_NO_PREFIX = tuple(map(IPv6Network, ("::/8", "fe80::/10", "ff00::/8")))
_KEEP_S = 600.0
_KEEP_FAILURE_S = 60.0


def inside(address: IPv6Address, found: Iterable[IPv6Network] = ()) -> list[IPv4Address]:
    """Every IPv4 address that `address` may be translated to; empty: it is not translated.

    `found` are the prefixes of this network. In 64:ff9b:1::/48 the length of the prefix is unknown
    without them. All lengths count there, except those that would give 0.0.0.0/8.
    """
    lengths = [each.prefixlen for each in (*found, _WELL_KNOWN) if address in each]
    if lengths or address not in _LOCAL:
        return [_at(address, length) for length in lengths]
    readings = [_at(address, length) for length in (48, 56, 64, 96)]
    return [one for one in readings if one.packed[0]] or readings[-1:]


def _at(address: IPv6Address, length: int) -> IPv4Address:
    return IPv4Address(bytes(address.packed[place] for place in _PLACES[length]))


class Translators:
    """Asks the name server for this network's NAT64 prefixes, and asks again after ten minutes.

    The name ipv4only.arpa has the IPv4 addresses 192.0.0.170 and 192.0.0.171 alone. Where its IPv6
    address holds one of them, the name server made it (RFC 7050).
    """

    def __init__(self, look_up: Callable[[str], Iterable[str]]) -> None:
        """`look_up` gives the addresses of a name. It may raise OSError."""
        self._look_up = look_up
        self._lock = threading.Lock()
        self._found: tuple[IPv6Network, ...] = ()
        self._next = 0.0

    def prefixes(self) -> tuple[IPv6Network, ...]:
        """The prefixes; those of the last answer if the name server does not answer."""
        # The others wait for the answer: without it they would judge an address by its outside.
        with self._lock:
            if time.monotonic() >= self._next:
                try:
                    self._found = _prefixes(self._look_up(_ASKED))
                    self._next = time.monotonic() + _KEEP_S
                except OSError:
                    self._next = time.monotonic() + _KEEP_FAILURE_S
            return self._found


def _prefixes(answer: Iterable[str]) -> tuple[IPv6Network, ...]:
    found = {
        IPv6Network((address, length), strict=False)
        for address in map(ip_address, answer)
        if isinstance(address, IPv6Address) and not any(address in each for each in _NO_PREFIX)
        for length in _PLACES
        if _at(address, length) in _ANSWERS
    }
    return tuple(found)
