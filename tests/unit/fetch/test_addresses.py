from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.workers.fetch import nat64
from kaption.workers.fetch.addresses import AddressRules


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.19.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.1.2.3",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9fe:a9:fe00:808:808",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "64:ff9b:2::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_refuses_every_address_that_is_not_public(address: str) -> None:
    assert AddressRules().refusal(address)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00:1450:4001::5"),
        *("64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8", "64:ff9b:1:808:8:800::"),
    ],
)
def test_allows_public_hosts(address: str) -> None:
    assert AddressRules().refusal(address) is None


@given(st.ip_addresses())
def test_refuses_every_address_that_python_calls_not_global(
    address: IPv4Address | IPv6Address,
) -> None:
    # Given any address, also from the special ranges of IPv6
    admitted = AddressRules().refusal(str(address)) is None

    # Then our list refuses everything that Python's refuses, except what a NAT64 translates
    translated = address.version == 6 and bool(nat64.inside(address))
    assert not admitted or translated or (address.is_global and not address.is_multicast)


def test_an_allowed_network_overrides_the_deny_list_for_itself_only() -> None:
    rules = AddressRules(["127.0.0.0/8", "fd00:1::/32"])

    assert rules.refusal("127.0.0.1") is None
    assert rules.refusal("fd00:1::5") is None
    assert rules.refusal("10.0.0.1")
    assert rules.refusal("::ffff:127.0.0.1")


def test_an_invalid_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="host bits set"):
        AddressRules(["127.0.0.1/8"])


@pytest.mark.parametrize(
    ("prefix", "length"),
    [
        *(("2a00:1450:4000::", length) for length in (32, 40, 48, 56, 64, 96)),
        *(("fd00:64::", length) for length in (32, 40, 48, 56, 64, 96)),
        *(("64:ff9b:1::", length) for length in (48, 56, 64, 96)),
    ],
)
def test_an_address_that_a_nat64_of_this_network_translates_is_judged_by_its_ipv4(
    prefix: str, length: int
) -> None:
    # Given the addresses that the network's name server makes for IPv4-only hosts
    if prefix == "64:ff9b:1::" and length < 48:
        return
    made = Dns64(IPv6Network((prefix, length), strict=False))
    found = nat64.Translators(made).prefixes()
    # Then public hosts are reached, and private and metadata addresses are not
    assert AddressRules().refusal(made.address("8.8.8.8"), found) is None
    for private in ("169.254.169.254", "10.0.0.1", "127.0.0.1", "192.0.0.170", "0.0.0.0"):
        assert AddressRules().refusal(made.address(private), found), private
    assert AddressRules(["10.0.0.0/8"]).refusal(made.address("10.0.0.1"), found) is None


class Dns64:
    """A name server that makes IPv6 addresses below a prefix (RFC 6052)."""

    def __init__(self, prefix: IPv6Network) -> None:
        self.prefix = prefix
        self.asked: list[str] = []

    def address(self, v4: str) -> str:
        # The prefix, then the IPv4 address, which leaves out byte 8.
        free = [place for place in range(self.prefix.prefixlen // 8, 16) if place != 8][:4]
        packed = bytearray(self.prefix.network_address.packed)
        for place, byte in zip(free, IPv4Address(v4).packed, strict=True):
            packed[place] = byte
        return str(IPv6Address(bytes(packed)))

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        return ["192.0.0.170", self.address("192.0.0.170"), self.address("192.0.0.171")]


@pytest.mark.parametrize(
    "answer", [[], ["192.0.0.170"], ["2a00::1"], ["::ffff:192.0.0.170"], ["fe80::c000:aa"]]
)
def test_what_shows_no_nat64_gives_no_prefix(answer: list[str]) -> None:
    assert nat64.Translators(lambda _: answer).prefixes() == ()


def test_a_name_server_is_asked_once_for_its_prefix_also_if_it_fails() -> None:
    asked: list[str] = []

    def fails(name: str) -> list[str]:
        asked.append(name)
        raise OSError("away")

    translators = nat64.Translators(fails)
    assert [translators.prefixes(), translators.prefixes()] == [(), ()]
    assert asked == ["ipv4only.arpa"]


def test_all_threads_wait_for_the_first_answer_of_the_name_server() -> None:
    # Given a name server that is slow
    made = Dns64(IPv6Network("2a00:64::/96"))
    answers = Event()
    translators = nat64.Translators(lambda name: made(name) if answers.wait(10) else [])
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(translators.prefixes) for _ in range(4)]
        # When it answers; then no thread went on without its prefix, and it was asked once
        answers.set()
        assert {each.result() for each in asked} == {(made.prefix,)}
    assert made.asked == ["ipv4only.arpa"]
