import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from urllib3.response import HTTPResponse

from kaption.schemas import Reason
from kaption.workers.fetch.fetcher import FIRST_BACKOFF_S, Fetcher
from kaption.workers.fetch.request import retry_after
from kaption.workers.runtime.stage import Later, Reject
from support.hostile_web import BODY, HostileWeb
from support.web import Waits

pytestmark = pytest.mark.slow

MakeFetcher = Callable[..., Fetcher]


def test_returns_body_final_url_and_headers(web: HostileWeb, make_fetcher: MakeFetcher) -> None:
    fetched = make_fetcher().fetch(web.url("ok") + "#fragment")

    assert fetched.data == BODY
    assert ("content-type", "Image/PNG; charset=x") in fetched.headers
    assert fetched.final_url == web.url("ok")


def test_follows_redirects_and_forgets_cookies(web: HostileWeb, make_fetcher: MakeFetcher) -> None:
    fetcher = make_fetcher()
    fetcher.fetch(web.url("ok"))  # sets a cookie

    fetched = fetcher.fetch(web.url("to//to/%2Fok"))

    assert fetched.final_url == web.url("ok")
    assert "Cookie" not in web.last_headers


@pytest.mark.parametrize(
    "cookie",
    [
        "seen=1",
        "seen=1; Path=/; HttpOnly; SameSite=Lax",
        "seen=1; Domain=127.0.0.1",
        "seen=a=b; Max-Age=60",
        "seen=1; Expires=no date",
        'seen=1; Max-Age="3600"',
        "seen=1; Max-Age=3600s",
        "seen=1; Max-Age; Domain; Path",
        "seen=1; Max-Age=; Domain=; Path=",
        "seen=1; Max-Age=1.5; Expires=Wed, 21 Oct 2099 07:28:00 GMT",
        "seen=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "seen=1; Max-Age=0; Max-Age=60",
        "seen=1; Expires=Wed, 21-Oct-99 07:28:00; Expires=Wednesday, 21 October 2099 7:28:0",
        "seen=1; Path=elsewhere",
        'seen=1; Path="/"',
        "seen=1; Path=/elsewhere; Path=/",
        "seen=1; Domain=example.org; Domain=127.0.0.1",
        "seen=1; Port=99; Version=2; Comment; Priority=High; Partitioned",
        "seen",
        'seen="a b,c"; ;;Path=/',
        'seen={"a":1}',
        "seen=caf\xc3\xa9",
        "seen=" + "x" * 4_000,
    ],
)
def test_a_redirect_gets_its_cookie_back_and_the_next_image_does_not_send_it(
    web: HostileWeb, make_fetcher: MakeFetcher, cookie: str
) -> None:
    fetcher = make_fetcher()
    assert fetcher.fetch(web.url(f"gate/{quote(cookie)}")).data == BODY
    fetcher.fetch(web.url("ok"))
    assert "Cookie" not in web.last_headers


@pytest.mark.parametrize(
    "cookie",
    [
        "seen=1; Max-Age=0",
        "seen=1; Max-Age=-1; Expires=Wed, 21 Oct 2099 07:28:00 GMT",
        "seen=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "seen=1; Expires=Thu 1-Jan-70 0:0:1",
        "seen=1; Domain=example.org",
        "seen=1; Domain=0.0.1",
        'seen=1; Domain="127.0.0.1"',
        "seen=1; Secure",
        "seen=1; Path=/elsewhere",
        "seen=\x00\x01",
        "seen=" + "x" * 5_000,
    ],
)
def test_a_cookie_that_is_not_for_the_url_is_not_sent(
    web: HostileWeb, make_fetcher: MakeFetcher, cookie: str
) -> None:
    with pytest.raises(Reject, match="more than 5 redirects"):
        make_fetcher().fetch(web.url(f"gate/{quote(cookie)}"))


def test_ignores_proxies_of_the_environment(
    web: HostileWeb, make_fetcher: MakeFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert make_fetcher().fetch(web.url("ok")).data == BODY


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_removes_content_encodings(
    web: HostileWeb, make_fetcher: MakeFetcher, encoding: str
) -> None:
    assert make_fetcher().fetch(web.url(f"encoded/{encoding}")).data == BODY


@pytest.mark.parametrize(
    ("path", "reason", "detail"),
    [
        ("status/404", Reason.FETCH_STATUS, "127.0.0.1 answered 404"),
        ("status/204", Reason.FETCH_STATUS, "answered 204"),
        ("status/302", Reason.FETCH_STATUS, "answered 302"),
        ("status/503", Reason.FETCH_STATUS, "answered 503"),
        ("loop", Reason.FETCH_FAILED, "more than 5 redirects"),
        ("to/http%3A%2F%2F169.254.169.254%2Fmeta", Reason.FETCH_DENIED, "metadata"),
        ("to/http%3A%2F%2F[fd00:ec2::254]%2F", Reason.FETCH_DENIED, "fd00:ec2::254"),
        ("to/file%3A%2F%2F%2Fetc%2Fpasswd", Reason.FETCH_DENIED, "'file'"),
        ("to/http%3A%2F%2Fa%3Ab%40host%2F", Reason.FETCH_DENIED, "user name"),
        ("slow-body", Reason.FETCH_TIMEOUT, "total time"),
        ("slow-headers", Reason.FETCH_TIMEOUT, "total time"),
        ("continue", Reason.FETCH_FAILED, "more than 16 interim answers"),
        ("endless", Reason.TOO_LARGE, "more than 1000000 bytes"),
        ("announced/1000001", Reason.TOO_LARGE, "1000001 bytes"),
        ("announced/" + "9" * 400, Reason.FETCH_FAILED, "127.0.0.1"),
        ("bomb/gzip", Reason.TOO_LARGE, "more than 1000000 bytes"),
        ("bomb/deflate", Reason.TOO_LARGE, "more than 1000000 bytes"),
        ("short", Reason.FETCH_FAILED, "IncompleteRead"),
        ("reset", Reason.FETCH_FAILED, "reset"),
        ("hang-up", Reason.FETCH_FAILED, "closed connection"),
        ("garbage", Reason.FETCH_FAILED, "BadStatusLine"),
        ("announced/0", Reason.FETCH_FAILED, "empty body"),
    ],
)
def test_hostile_answers_have_one_reason_each(
    web: HostileWeb, make_fetcher: MakeFetcher, path: str, reason: Reason, detail: str
) -> None:
    patience = 1.0 if reason == Reason.FETCH_TIMEOUT else 60.0
    fetcher = make_fetcher(total_timeout_s=patience, max_bytes=1_000_000)

    with pytest.raises(Reject) as refused:
        fetcher.fetch(web.url(path))

    assert refused.value.reason == reason
    assert detail in refused.value.detail


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", Reason.FETCH_DENIED),
        ("/relative.png", Reason.FETCH_DENIED),
        ("ftp://example.org/a.png", Reason.FETCH_DENIED),
        ("data:image/png;base64,AAAA", Reason.FETCH_DENIED),
        ("http://user@example.org/", Reason.FETCH_DENIED),
        ("http://[::1/a.png", Reason.FETCH_FAILED),
        ("http://exa mple.org/", Reason.FETCH_FAILED),
        ("http://example.org:99999/", Reason.FETCH_FAILED),
        ("http://127.0.0.1:0/", Reason.FETCH_FAILED),
        ("http://a..b/", Reason.FETCH_FAILED),
        ("http://\u2100.org/", Reason.FETCH_FAILED),
        (f"http://{'a' * 64}.org/", Reason.FETCH_FAILED),
        ("http://example.org/" + "\u00e9" * 3000, Reason.FETCH_FAILED),
    ],
)
def test_bad_urls_are_refused(make_fetcher: MakeFetcher, url: str, reason: Reason) -> None:
    with pytest.raises(Reject) as refused:
        make_fetcher().fetch(url)

    assert refused.value.reason == reason


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1]", "[::]"])
def test_loopback_is_denied_in_every_spelling(make_fetcher: MakeFetcher, host: str) -> None:
    with pytest.raises(Reject) as refused:
        make_fetcher(allow_networks=()).fetch(f"http://{host}/")

    assert refused.value.reason == Reason.FETCH_DENIED


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 530])
def test_tries_again_after_the_servers_retry_after(
    web: HostileWeb, make_fetcher: MakeFetcher, waits: Waits, status: int
) -> None:
    fetcher = make_fetcher(attempts=3, waits=waits)

    assert fetcher.fetch(web.url(f"first/{status}")).data == BODY

    assert waits == [7.0]


def test_another_attempt_of_a_closed_fetcher_ends_at_once(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    # Given a fetch that is to be tried again
    fetcher = make_fetcher(attempts=3, postpones=True)
    with pytest.raises(Later):
        fetcher.fetch(web.url("reset"))

    fetcher.close()

    with pytest.raises(Reject):
        fetcher.fetch(web.url("reset"))
    assert web.requests.total() == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("31", "31 s"),
        ("99999999999999999999", "999999999 s"),
        ("Fri,%2031%20Dec%209999%2023:59:59%20GMT", r"\d+ s"),
    ],
)
def test_gives_up_when_retry_after_is_longer_than_the_limit(
    web: HostileWeb, make_fetcher: MakeFetcher, asked: str, said: str
) -> None:
    fetcher = make_fetcher(attempts=3)

    with pytest.raises(Reject, match=f"asks to wait {said}"):
        fetcher.fetch(web.url(f"wait/{asked}"))

    assert web.requests.total() == 1


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        *(
            (form, 12.0)
            for form in ("12", "+12", "12.0", "12s", "12 Seconds", '"12"', "12, 40", "12;x")
        ),
        ("0012", 12.0),
        ("0", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("1999-12-31T23:59:59Z", 0.0),
        *(
            (form, None)
            for form in ("", "soon", "-12", "1e3", "inf", "12 minutes", "12:30", "\u0663")
        ),
    ],
)
def test_retry_after_is_read_as_servers_write_it(asked: str, seconds: float | None) -> None:
    assert retry_after(HTTPResponse(b"", headers={"Retry-After": asked})) == seconds


@pytest.mark.parametrize(
    "form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%c", "%Y-%m-%dT%H:%M:%SZ"]
)
def test_retry_after_may_be_a_date_of_utc(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaption.workers.fetch.request.time.time", lambda: 1_800_000_000.0)
    asked = time.strftime(form, time.gmtime(1_800_000_090))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = retry_after(HTTPResponse(b"", headers={"Retry-After": asked}))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert found == 90.0


@pytest.mark.parametrize(
    ("path", "requests"), [("reset", 3), ("hang-up", 3), ("short", 3), ("status/404", 1)]
)
def test_only_transient_failures_are_tried_again(
    web: HostileWeb, make_fetcher: MakeFetcher, waits: Waits, path: str, requests: int
) -> None:
    fetcher = make_fetcher(attempts=3, waits=waits)

    with pytest.raises(Reject):
        fetcher.fetch(web.url(path))

    assert web.requests[f"/{path}"] == requests
    assert len(waits) == requests - 1
    assert all(0.5 <= wait / (FIRST_BACKOFF_S * 2**n) <= 1.5 for n, wait in enumerate(waits))


def test_one_host_gets_a_limited_number_of_connections_at_once(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    # Given six threads that fetch from a host that does not answer
    fetcher = make_fetcher(per_host=2)
    with ThreadPoolExecutor(6) as pool:
        fetches = [pool.submit(fetcher.fetch, web.url(f"hold/{n}")) for n in range(6)]
        while web.held < 2:
            threading.Event().wait(0.01)

        # When it answers
        web.release.set()

        # Then all threads got an answer, two at a time
        assert [fetch.result().data for fetch in fetches] == [BODY] * 6
    assert web.most_held == 2


def test_closing_ends_open_connections(web: HostileWeb, make_fetcher: MakeFetcher) -> None:
    fetcher = make_fetcher()
    with ThreadPoolExecutor(1) as pool:
        fetch = pool.submit(fetcher.fetch, web.url("hold"))
        while not web.held:
            threading.Event().wait(0.01)

        fetcher.close()

        assert isinstance(fetch.exception(), Reject)


@pytest.mark.parametrize("path", ["slow-headers", "slow-body", "continue"])
def test_a_server_that_brings_next_to_nothing_is_given_up_before_the_total_limit(
    web: HostileWeb, make_fetcher: MakeFetcher, path: str
) -> None:
    fetcher = make_fetcher(answer_timeout_s=0.3, total_timeout_s=30.0)
    began = time.monotonic()
    with pytest.raises(Reject) as refused:
        fetcher.fetch(web.url(path))
    assert time.monotonic() - began < 15.0
    assert refused.value.reason in (Reason.FETCH_TIMEOUT, Reason.FETCH_FAILED)


def test_a_body_that_keeps_coming_may_take_longer_than_an_answer(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    fetcher = make_fetcher(answer_timeout_s=1.5, total_timeout_s=60.0)
    assert len(fetcher.fetch(web.url("steady/40")).data) == 40 * 8192
