"""A server that keeps failing is not asked for some minutes, and its records say why."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaption.schemas import Reason
from kaption.workers.fetch import servers
from kaption.workers.fetch.failure import FetchFailure
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.servers import (
    LONGEST_REST_S,
    REFUSED_S,
    SECOND_CHANCE_S,
    Health,
)
from kaption.workers.runtime.stage import Later, Reject
from support.hostile_web import BODY, HostileWeb
from support.web import Waits

pytestmark = pytest.mark.slow

MakeFetcher = Callable[..., Fetcher]


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def rejected(fetcher: Fetcher, url: str) -> Reject:
    with pytest.raises(Reject) as refused:
        fetcher.fetch(url)
    return refused.value


def silent() -> FetchFailure:
    return FetchFailure(
        Reject(Reason.FETCH_TIMEOUT, "a.example: no answer"), again=False, silent=True
    )


def busy(after_s: float | None = None) -> FetchFailure:
    reject = Reject(Reason.FETCH_STATUS, "a.example answered 503")
    return FetchFailure(reject, again=True, after_s=after_s)


def test_a_silent_server_is_asked_three_times_for_a_thousand_images(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    # Given a server that sends nothing
    fetcher = make_fetcher(total_timeout_s=1.0, attempts=3)
    # When a thousand images of it are fetched
    reasons = [rejected(fetcher, web.url(f"slow-headers/{n}")) for n in range(1000)]
    # Then it got three requests, and every record says what happened
    assert sum(web.requests.values()) == 3
    assert {one.reason for one in reasons} == {Reason.FETCH_TIMEOUT}
    last = r"127\.0\.0\.1: .*; it failed 3 times in a row and is not asked until \d\d:\d\d:\d\d UTC"
    assert re.fullmatch(last, reasons[-1].detail)


def test_a_refused_connection_counts_too_and_other_ports_are_other_servers(
    web: HostileWeb, make_fetcher: MakeFetcher, closed_port: int
) -> None:
    fetcher = make_fetcher()
    details = [rejected(fetcher, f"http://127.0.0.1:{closed_port}/").detail for _ in range(4)]
    assert ["not asked until" in detail for detail in details] == [False, False, False, True]
    assert fetcher.fetch(web.url("ok")).data == BODY


def test_an_unknown_name_counts_too(make_fetcher: MakeFetcher) -> None:
    asked: list[str] = []

    def unknown(host: str, _port: int) -> list[object]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    fetcher = make_fetcher(look_up=unknown)
    reasons = [rejected(fetcher, f"http://gone.example/{n}").reason for n in range(20)]
    assert set(reasons) == {Reason.FETCH_FAILED}
    assert len(asked) == 3


def test_missing_images_are_no_failure_of_the_server(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    fetcher = make_fetcher()
    for _ in range(30):
        assert rejected(fetcher, web.url("status/404")).detail == "127.0.0.1 answered 404"
    assert fetcher.fetch(web.url("ok")).data == BODY


def test_a_redirect_to_a_dead_server_is_not_held_against_the_one_that_redirects(
    web: HostileWeb, make_fetcher: MakeFetcher, closed_port: int
) -> None:
    fetcher = make_fetcher()
    for _ in range(5):
        rejected(fetcher, web.url(f"to/http%3A%2F%2F127.0.0.1:{closed_port}%2F"))
    assert fetcher.fetch(web.url("ok")).data == BODY


def test_after_some_minutes_one_request_tells_whether_the_server_is_back(
    web: HostileWeb, make_fetcher: MakeFetcher, waits: Waits
) -> None:
    # Given a server that is refused
    fetcher = make_fetcher(waits=waits)
    for _ in range(4):
        rejected(fetcher, web.url("garbage"))
    # When the time is over and it still fails
    waits.now += REFUSED_S
    for _ in range(3):
        rejected(fetcher, web.url("garbage"))
    # Then it got one request more
    assert web.requests["/garbage"] == 4
    # When it works at the next test, it is asked as before
    waits.now += REFUSED_S
    assert [fetcher.fetch(web.url("ok")).data for _ in range(3)] == [BODY] * 3


def test_while_one_request_tests_a_server_the_others_are_refused() -> None:
    waits = Waits()
    health = Health(waits.clock)
    for _ in range(3):
        health.failed("a", silent())
    waits.now += REFUSED_S
    health.check("a")
    with pytest.raises(Reject):
        health.check("a")


def test_an_answer_between_two_failures_starts_the_count_anew() -> None:
    health = Health(Waits().clock)
    for _ in range(10):
        health.failed("a", silent())
        health.failed("a", silent())
        health.answered("a")
    health.check("a")


@pytest.mark.parametrize("failures", [[silent()] * 8, [busy()] * 12, [silent(), *[busy()] * 20]])
def test_a_server_that_answered_rests_before_it_is_refused(failures: list[FetchFailure]) -> None:
    # Given a server that answered, and then failed in all requests under way at once
    waits = Waits()
    health = Health(waits.clock)
    health.answered("a")
    for failure in failures:
        health.failed("a", failure)
    # Then its records wait
    with pytest.raises(Later) as later:
        health.check("a")
    assert later.value.after_s == SECOND_CHANCE_S
    # When it answers after the rest, all is forgotten
    waits.now += SECOND_CHANCE_S
    health.check("a")
    health.answered("a")
    assert health.answers("a")


def test_a_server_that_still_fails_after_its_rest_is_refused() -> None:
    waits = Waits()
    health = Health(waits.clock)
    health.answered("a")
    for _ in range(3):
        health.failed("a", silent())
    waits.now += SECOND_CHANCE_S
    health.check("a")
    health.failed("a", silent())
    with pytest.raises(Reject, match="failed 4 times in a row"):
        health.check("a")


def test_an_address_that_answered_gets_a_second_chance_from_all_its_hosts() -> None:
    waits = Waits()
    health = Health(waits.clock)
    health.answered("192.0.2.1 port 80")
    for host in ("a", "b", "c", "d"):
        health.failed("192.0.2.1 port 80", silent(), host)
    waits.now += SECOND_CHANCE_S
    health.check("192.0.2.1 port 80")
    health.failed("192.0.2.1 port 80", silent(), "a")
    with pytest.raises(Reject):
        health.check("192.0.2.1 port 80")


def test_a_server_that_stands_still_for_a_moment_loses_no_record_but_those_under_way(
    web: HostileWeb, make_fetcher: MakeFetcher, waits: Waits
) -> None:
    # Given a server that answered and then is silent for three requests
    fetcher = make_fetcher(total_timeout_s=1.0, waits=waits)
    assert fetcher.fetch(web.url("ok")).data == BODY
    for number in range(3):
        rejected(fetcher, web.url(f"slow-headers/{number}"))
    # When further images of it are fetched
    bodies = [fetcher.fetch(web.url("ok")).data for _ in range(20)]
    # Then the first one waits for the server, and none is lost
    assert bodies == [BODY] * 20
    assert waits == [SECOND_CHANCE_S]


def test_a_server_with_broken_files_gets_more_patience_than_a_silent_one() -> None:
    health = Health(Waits().clock)
    for _ in range(11):
        health.failed("a", busy())
    health.check("a")
    health.failed("a", busy())
    with pytest.raises(Reject, match="failed 12 times in a row"):
        health.check("a")


def test_one_image_that_is_tried_three_times_does_not_close_a_server(
    web: HostileWeb, make_fetcher: MakeFetcher, waits: Waits
) -> None:
    fetcher = make_fetcher(attempts=3, waits=waits)
    rejected(fetcher, web.url("reset"))
    assert fetcher.fetch(web.url("ok")).data == BODY


def test_a_pause_that_a_server_asks_for_counts_for_all_its_records() -> None:
    waits = Waits()
    health = Health(waits.clock)
    health.failed("a", busy(20.0))
    with pytest.raises(Later) as later:
        health.check("a")
    assert later.value.after_s == 20.0
    waits.now += 20.0
    health.check("a")


def test_a_server_that_asks_for_a_long_pause_is_refused_until_then() -> None:
    waits = Waits()
    health = Health(waits.clock)
    health.failed("a", busy(LONGEST_REST_S + 1))
    with pytest.raises(Reject, match="asked to wait and is not asked until"):
        health.check("a")
    waits.now += REFUSED_S
    health.check("a")


def test_a_fetcher_that_postpones_does_not_sleep_and_counts_its_attempts(
    web: HostileWeb, make_fetcher: MakeFetcher, waits: Waits
) -> None:
    fetcher = make_fetcher(attempts=3, waits=waits, postpones=True)
    for _ in range(2):
        with pytest.raises(Later):
            fetcher.fetch(web.url("reset"))
    assert "(3 attempts)" in rejected(fetcher, web.url("reset")).detail
    assert waits == []


def test_redirects_to_a_silent_server_wait_for_it_without_the_one_that_redirects(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    # Given three records whose redirects have led to a server that does not answer yet
    silent, fetcher = HostileWeb(), make_fetcher(postpones=True)
    urls = [web.url(f"to/http%3A%2F%2F127.0.0.1:{silent.port}%2Fhold%2F{n}") for n in range(4)]
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(fetcher.fetch, url) for url in urls[:3]]
        while silent.held < 3:
            time.sleep(0.01)
        # When a fourth one comes there, then it is to wait in the lane of that server
        with pytest.raises(Later) as later:
            fetcher.fetch(urls[3])
        assert later.value.lane == f"127.0.0.1:{silent.port}"
        # When it comes again, it goes on where it was
        silent.release.set()
        assert fetcher.fetch(urls[3]).data == BODY
        assert all(one.result().data == BODY for one in first)
    assert set(web.requests.values()) == {1}
    silent.close()


def test_all_attempts_share_one_time_limit(web: HostileWeb, make_fetcher: MakeFetcher) -> None:
    fetcher = make_fetcher(attempts=5, total_timeout_s=0.5, postpones=True)
    assert rejected(fetcher, web.url("slow-body")).reason == Reason.FETCH_TIMEOUT
    assert web.requests["/slow-body"] == 1


@pytest.mark.parametrize("path", ["late/0.1/404", "late/0.1/302", "late/0.1/410"])
def test_a_server_that_refuses_slowly_is_not_asked_a_thousand_times(
    web: HostileWeb, make_fetcher: MakeFetcher, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(servers, "_SLOW_S", 0.1)
    fetcher = make_fetcher()
    details = [rejected(fetcher, web.url(path)).detail for _ in range(30)]
    assert sum(web.requests.values()) == 12
    assert "failed 12 times in a row and is not asked until" in details[-1]


def test_a_slow_server_that_has_images_is_asked_for_all(
    web: HostileWeb, make_fetcher: MakeFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_SLOW_S", 0.1)
    fetcher = make_fetcher()
    for _ in range(3):
        for _ in range(8):
            rejected(fetcher, web.url("late/0.1/404"))
        assert fetcher.fetch(web.url("late/0.1/200")).data == BODY


def test_the_memory_for_failing_servers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "REMEMBERED", 5)
    health = Health(Waits().clock)
    for number in range(50):
        health.failed(f"{number}", silent())
    assert list(health._troubled) == ["45", "46", "47", "48", "49"]
