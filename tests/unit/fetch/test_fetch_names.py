"""Which address the fetcher connects to for a name, and which name it tells the server."""

import ssl
import threading
from collections.abc import Callable, Iterator
from socket import AF_INET, AF_INET6, EAI_AGAIN, gaierror

import pytest
import trustme

from kaption.schemas import Reason
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.resolver import Endpoint
from kaption.workers.runtime.stage import Reject
from support.hostile_web import BODY, HostileWeb
from support.web import Waits

pytestmark = pytest.mark.slow

MakeFetcher = Callable[..., Fetcher]


class Names:
    """A resolver that returns its next answer at each look-up."""

    def __init__(self, *answers: list[str]) -> None:
        self.asked: list[str] = []
        self._answers = iter(answers)

    def __call__(self, host: str, port: int) -> list[Endpoint]:
        self.asked.append(host)
        return [Endpoint(AF_INET, (address, port)) for address in next(self._answers)]


@pytest.fixture
def two_hosts() -> Iterator[tuple[HostileWeb, HostileWeb]]:
    """Two servers on one port: on 127.0.0.2 (allowed below) and on 127.0.0.3 (denied)."""
    outside = HostileWeb("127.0.0.2")
    inside = HostileWeb("127.0.0.3", outside.port)
    yield outside, inside
    outside.close()
    inside.close()


def test_dns_rebinding_reaches_only_the_checked_address(
    two_hosts: tuple[HostileWeb, HostileWeb], make_fetcher: MakeFetcher
) -> None:
    # Given a name with a public address at the first look-up and a private one later
    outside, inside = two_hosts
    names = Names(["127.0.0.2"], ["127.0.0.3"])
    fetcher = make_fetcher(allow_networks=("127.0.0.2/32",), look_up=names)

    # When it is fetched
    fetched = fetcher.fetch(f"http://pictures.example:{outside.port}/ok")

    # Then there was one look-up, and the server got the URL's name
    assert fetched.data == BODY
    assert names.asked == ["pictures.example"]
    assert outside.last_headers["Host"] == f"pictures.example:{outside.port}"
    assert not inside.requests


def test_each_redirect_is_resolved_and_checked_again(
    two_hosts: tuple[HostileWeb, HostileWeb], make_fetcher: MakeFetcher
) -> None:
    outside, inside = two_hosts
    names = Names(["127.0.0.2"], ["127.0.0.3"])
    fetcher = make_fetcher(allow_networks=("127.0.0.2/32",), look_up=names)

    with pytest.raises(Reject, match=r"pictures\.example is 127\.0\.0\.3: loopback"):
        fetcher.fetch(f"http://pictures.example:{outside.port}/to/%2Fok")

    assert not inside.requests


def test_one_denied_address_among_several_refuses_the_name(
    two_hosts: tuple[HostileWeb, HostileWeb], make_fetcher: MakeFetcher
) -> None:
    outside, _ = two_hosts
    names = Names(["127.0.0.2", "10.0.0.1"])
    fetcher = make_fetcher(allow_networks=("127.0.0.2/32",), look_up=names)

    with pytest.raises(Reject) as refused:
        fetcher.fetch(f"http://pictures.example:{outside.port}/ok")

    assert refused.value.reason == Reason.FETCH_DENIED
    assert not outside.requests


def test_the_next_address_is_tried_when_one_does_not_answer(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    names = Names(["127.0.0.9", "127.0.0.1"])

    fetched = make_fetcher(look_up=names).fetch(f"http://pictures.example:{web.port}/ok")

    assert fetched.data == BODY


def test_a_look_up_that_hangs_ends_at_the_deadline(make_fetcher: MakeFetcher) -> None:
    release = threading.Event()

    def hang(_host: str, _port: int) -> list[Endpoint]:
        release.wait(30)
        return []

    with pytest.raises(Reject) as refused:
        make_fetcher(total_timeout_s=0.2, look_up=hang).fetch("http://pictures.example/")
    release.set()

    assert refused.value.reason == Reason.FETCH_TIMEOUT


def test_a_busy_name_server_is_asked_again(
    web: HostileWeb, make_fetcher: MakeFetcher, waits: Waits
) -> None:
    asked: list[str] = []

    def busy(host: str, port: int) -> list[Endpoint]:
        asked.append(host)
        if len(asked) == 1:
            raise gaierror(EAI_AGAIN, "try again")
        return [Endpoint(AF_INET, ("127.0.0.1", port))]

    fetcher = make_fetcher(attempts=2, look_up=busy, waits=waits)

    assert fetcher.fetch(f"http://pictures.example:{web.port}/ok").data == BODY


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_checks_the_name_and_not_the_address(
    web: HostileWeb, make_fetcher: MakeFetcher, authority: trustme.CA
) -> None:
    # Given a server with a certificate for a name, at the address of that name
    web.use_tls(authority.issue_cert("pictures.example").configure_cert)
    fetcher = make_fetcher(look_up=Names(["127.0.0.1"]), ssl_context=trusting(authority))

    # When it is fetched by its name
    fetched = fetcher.fetch(f"https://pictures.example:{web.port}/ok")

    # Then the TLS server name and the Host header are the URL's, and the certificate is accepted
    assert fetched.data == BODY
    assert web.server_names == ["pictures.example"]
    assert web.last_headers["Host"] == f"pictures.example:{web.port}"


def test_a_certificate_for_another_name_is_refused(
    web: HostileWeb, make_fetcher: MakeFetcher, authority: trustme.CA
) -> None:
    web.use_tls(authority.issue_cert("other.example").configure_cert)
    fetcher = make_fetcher(look_up=Names(["127.0.0.1"]), ssl_context=trusting(authority))

    with pytest.raises(Reject, match="CERTIFICATE_VERIFY_FAILED"):
        fetcher.fetch(f"https://pictures.example:{web.port}/ok")


def test_an_unknown_authority_is_refused(
    web: HostileWeb, make_fetcher: MakeFetcher, authority: trustme.CA
) -> None:
    web.use_tls(authority.issue_cert("pictures.example").configure_cert)

    with pytest.raises(Reject, match="CERTIFICATE_VERIFY_FAILED"):
        make_fetcher(look_up=Names(["127.0.0.1"])).fetch(f"https://pictures.example:{web.port}/ok")


def test_a_slow_tls_body_ends_at_the_deadline(
    web: HostileWeb, make_fetcher: MakeFetcher, authority: trustme.CA
) -> None:
    web.use_tls(authority.issue_cert("pictures.example").configure_cert)
    fetcher = make_fetcher(
        total_timeout_s=1.0, look_up=Names(["127.0.0.1"]), ssl_context=trusting(authority)
    )

    with pytest.raises(Reject) as refused:
        fetcher.fetch(f"https://pictures.example:{web.port}/slow-body")

    assert refused.value.reason == Reason.FETCH_TIMEOUT


def test_a_prefix_of_the_network_is_found_before_its_addresses_are_judged(
    make_fetcher: MakeFetcher,
) -> None:
    # Given a name server that makes addresses below a prefix of its own
    made = {"ipv4only.arpa": "2a00:64::192.0.0.170", "inside.example": "2a00:64::169.254.169.254"}

    def look_up(host: str, port: int) -> list[Endpoint]:
        return [Endpoint(AF_INET6, (made[host], port, 0, 0))]

    # When a name leads to the metadata address behind it
    with pytest.raises(Reject) as refused:
        make_fetcher(look_up=look_up).fetch("http://inside.example/")

    # Then nothing is dialled
    assert refused.value.reason == Reason.FETCH_DENIED
    assert "169.254.169.254 by NAT64" in refused.value.detail
