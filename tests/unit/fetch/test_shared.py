"""What several hosts share, an address or name servers, is tried a few times if it is dead."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from socket import AF_INET, EAI_AGAIN, EAI_NONAME, gaierror

import pytest

from kaption.schemas import Reason
from kaption.workers.fetch import resolver
from kaption.workers.fetch.failure import FetchFailure
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.resolver import Endpoint, Resolver
from kaption.workers.fetch.shared import Shared
from kaption.workers.runtime.stage import Later, Reject
from support.hostile_web import BODY, HostileWeb
from support.web import Waits

pytestmark = pytest.mark.slow

MakeFetcher = Callable[..., Fetcher]
SILENT = FetchFailure(Reject(Reason.FETCH_TIMEOUT, "no answer"), again=False, silent=True)


def anywhere(host: str, port: int) -> list[Endpoint]:
    return [Endpoint(AF_INET, ("127.0.0.1", port))]


def outcome(fetcher: Fetcher, url: str) -> str:
    try:
        fetcher.fetch(url)
    except Reject as reject:
        return str(reject)
    return "fetched"


def test_a_dead_machine_with_a_thousand_names_is_asked_three_times(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    # Given a server that sends nothing, under names that nobody saw before
    fetcher = make_fetcher(answer_timeout_s=1.0, look_up=anywhere)
    # When an image of each is fetched
    told = [
        outcome(fetcher, f"http://{n}.dead.example:{web.port}/slow-headers") for n in range(1000)
    ]
    # Then three requests were sent, and each record says what is not asked and until when
    assert sum(web.requests.values()) == 3
    assert all(one.startswith("fetch_timeout: ") for one in told)
    assert "needs 127.0.0.1 port" in told[-1]
    assert "is not asked until" in told[-1]


def test_one_silent_name_does_not_close_the_address_to_the_others(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    fetcher = make_fetcher(answer_timeout_s=1.0, look_up=anywhere)
    for n in range(6):
        outcome(fetcher, f"http://dead.example:{web.port}/slow-headers/{n}")
    assert fetcher.fetch(f"http://good.example:{web.port}/ok").data == BODY


@pytest.mark.parametrize("path", ["garbage", "reset", "hang-up", "status/503", "short"])
def test_hosts_that_fail_at_once_do_not_close_their_address(
    web: HostileWeb, make_fetcher: MakeFetcher, path: str
) -> None:
    fetcher = make_fetcher(look_up=anywhere)
    for n in range(6):
        outcome(fetcher, f"http://{n}.broken.example:{web.port}/{path}")
        outcome(fetcher, f"https://{n}.broken.example:{web.port}/")  # no TLS there
    assert fetcher.fetch(f"http://good.example:{web.port}/ok").data == BODY


def test_an_address_that_answers_for_one_name_stays_open(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    fetcher = make_fetcher(answer_timeout_s=1.0, look_up=anywhere)
    for n in range(4):
        outcome(fetcher, f"http://{n}.dead.example:{web.port}/slow-headers")
        assert fetcher.fetch(f"http://good.example:{web.port}/ok").data == BODY


def test_names_of_dead_name_servers_are_looked_up_three_times(make_fetcher: MakeFetcher) -> None:
    asked, release = list[str](), threading.Event()

    def hang(host: str, port: int) -> list[Endpoint]:
        asked.append(host)
        release.wait(20)
        return []

    fetcher = make_fetcher(answer_timeout_s=0.2, look_up=hang)
    told = [outcome(fetcher, f"http://{n}.hangs.example/") for n in range(50)]
    release.set()
    assert len(asked) == 3
    assert "the name servers of hangs.example" not in told[2]
    assert "is not asked until" in told[-1]


def test_dead_name_servers_close_no_other_domain_of_their_registry(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    release = threading.Event()

    def look_up(host: str, port: int) -> list[Endpoint]:
        if not host.startswith("good"):
            release.wait(20)
        return anywhere(host, port)

    fetcher = make_fetcher(answer_timeout_s=1.0, look_up=look_up)
    for n in range(4):
        outcome(fetcher, f"http://www.dead{n}.co.uk:{web.port}/ok")
    assert fetcher.fetch(f"http://good.co.uk:{web.port}/ok").data == BODY
    assert fetcher.fetch(f"http://good.example.com.br:{web.port}/ok").data == BODY
    release.set()


def test_names_that_do_not_exist_are_an_answer(make_fetcher: MakeFetcher) -> None:
    asked: list[str] = []

    def unknown(host: str, port: int) -> list[Endpoint]:
        asked.append(host)
        raise gaierror(EAI_NONAME, "unknown")

    fetcher = make_fetcher(look_up=unknown)
    for n in range(20):
        outcome(fetcher, f"http://{n}.gone.example/")
    assert len(asked) == 20


def test_while_three_hosts_try_an_address_for_the_first_time_others_wait_in_its_lane() -> None:
    shared, lanes = Shared(Waits().clock), set[str]()
    for host in "abc":
        shared.begin("192.0.2.1 port 80", host, lanes)
    with pytest.raises(Later) as later:
        shared.begin("192.0.2.1 port 80", "d", lanes)
    assert later.value.lane == "192.0.2.1 port 80"
    # When its turn in the lane comes, then it may try
    shared.begin("192.0.2.1 port 80", "d", lanes)


def test_an_address_that_has_answered_has_no_lane_until_it_is_silent() -> None:
    shared, key = Shared(Waits().clock), "192.0.2.1 port 80"
    for host in "abc":
        shared.begin(key, host, set())
    shared.end(key, "a", True)
    shared.begin(key, "d", set())
    shared.end(key, "b", SILENT)
    shared.begin(key, "e", set())
    with pytest.raises(Later):
        shared.begin(key, "f", set())


def test_threads_that_ask_for_one_name_share_a_look_up() -> None:
    asked, release = list[str](), threading.Event()

    def slow(host: str, port: int) -> list[Endpoint]:
        asked.append(host)
        release.wait(20)
        return anywhere(host, port)

    resolving, all_begin = Resolver(slow), threading.Barrier(9)

    def resolve() -> list[Endpoint]:
        all_begin.wait(20)
        return resolving.resolve("a.example", 80, 20.0)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(resolve) for _ in range(8)]
        all_begin.wait(20)
        time.sleep(0.5)
        release.set()
        assert {answer.result()[0].address for answer in answers} == {"127.0.0.1"}
    assert len(asked) < 8
    assert resolving.resolve("a.example", 80, 20.0) == anywhere("", 80)


def test_a_look_up_that_the_system_gave_up_is_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_HANGS_S", 0.0)

    def given_up(host: str, port: int) -> list[Endpoint]:
        raise gaierror(EAI_AGAIN, "try again")

    with pytest.raises(TimeoutError):
        Resolver(given_up).resolve("a.example", 80, 1.0)


def test_look_ups_that_hang_cost_no_other_name_its_record(
    monkeypatch: pytest.MonkeyPatch, make_fetcher: MakeFetcher
) -> None:
    monkeypatch.setattr(resolver, "LOOKUPS_AT_ONCE", 2)
    release = threading.Event()

    def hang(host: str, port: int) -> list[Endpoint]:
        release.wait(20)
        raise gaierror(EAI_NONAME, "unknown")

    fetcher = make_fetcher(answer_timeout_s=0.2, look_up=hang, postpones=True)
    for name in "ab":
        assert outcome(fetcher, f"http://{name}.example/").startswith("fetch_timeout")
    with pytest.raises(Later):
        fetcher.fetch("http://good.test/")
    release.set()
