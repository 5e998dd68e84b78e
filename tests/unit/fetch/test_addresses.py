from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    "address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00:1450:4001::5"]
)
def test_allows_public_hosts(address: str) -> None:
    assert AddressRules().refusal(address) is None


@given(st.ip_addresses())
def test_refuses_every_address_that_python_calls_not_global(
    address: IPv4Address | IPv6Address,
) -> None:
    # Given any address, also from the special ranges of IPv6
    admitted = AddressRules().refusal(str(address)) is None

    # Then our list refuses everything that Python's refuses
    assert not admitted or (address.is_global and not address.is_multicast)


def test_an_allowed_network_overrides_the_deny_list_for_itself_only() -> None:
    rules = AddressRules(["127.0.0.0/8", "fd00:1::/32"])

    assert rules.refusal("127.0.0.1") is None
    assert rules.refusal("fd00:1::5") is None
    assert rules.refusal("10.0.0.1")
    assert rules.refusal("::ffff:127.0.0.1")


def test_an_invalid_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="host bits set"):
        AddressRules(["127.0.0.1/8"])
