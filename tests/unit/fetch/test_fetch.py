import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaption.schemas import Reason
from kaption.workers.fetch.fetcher import FIRST_BACKOFF_S, Fetcher
from kaption.workers.runtime.stage import Reject
from support.hostile_web import BODY, HostileWeb

pytestmark = pytest.mark.slow

MakeFetcher = Callable[..., Fetcher]


def test_returns_body_final_url_and_media_type(web: HostileWeb, make_fetcher: MakeFetcher) -> None:
    fetched = make_fetcher().fetch(web.url("ok") + "#fragment")

    assert (fetched.data, fetched.media_type) == (BODY, "image/png")
    assert fetched.final_url == web.url("ok")


def test_follows_redirects_and_forgets_cookies(web: HostileWeb, make_fetcher: MakeFetcher) -> None:
    fetcher = make_fetcher()
    fetcher.fetch(web.url("ok"))  # sets a cookie

    fetched = fetcher.fetch(web.url("to//to/%2Fok"))

    assert fetched.final_url == web.url("ok")
    assert "Cookie" not in web.last_headers


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
        ("continue", Reason.FETCH_TIMEOUT, "total time"),
        ("endless", Reason.TOO_LARGE, "more than 1000000 bytes"),
        ("announced/1000001", Reason.TOO_LARGE, "1000001 bytes"),
        ("announced/" + "9" * 400, Reason.FETCH_FAILED, "127.0.0.1"),
        ("bomb/gzip", Reason.TOO_LARGE, "more than 1000000 bytes"),
        ("bomb/deflate", Reason.TOO_LARGE, "more than 1000000 bytes"),
        ("encoded/compress", Reason.FETCH_FAILED, "'compress'"),
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
        ("http://example.org/a\r\nHost: b", Reason.FETCH_DENIED),
        ("http:///a.png", Reason.FETCH_FAILED),
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


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_tries_again_after_the_servers_retry_after(
    web: HostileWeb, make_fetcher: MakeFetcher, status: int
) -> None:
    waits: list[float] = []
    fetcher = make_fetcher(attempts=3, sleep=waits.append)

    assert fetcher.fetch(web.url(f"first/{status}")).data == BODY

    assert waits == [7.0]


def test_closing_ends_the_wait_before_another_attempt(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    # Given a fetch that waits seven seconds, as the server asked
    fetcher = make_fetcher(attempts=3)
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        fetch = pool.submit(fetcher.fetch, web.url("first/429"))
        while not web.requests:
            time.sleep(0.01)

        # When the fetcher is closed
        fetcher.close()

        # Then the fetch ends at once
        with pytest.raises(Reject):
            fetch.result(timeout=5)
    assert time.monotonic() - began < 5


def test_gives_up_when_retry_after_is_longer_than_the_limit(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    fetcher = make_fetcher(attempts=3)

    with pytest.raises(Reject, match="asks to wait 31 s"):
        fetcher.fetch(web.url("wait/31"))

    assert web.requests["/wait/31"] == 1


@pytest.mark.parametrize(
    ("path", "requests"), [("reset", 3), ("hang-up", 3), ("short", 3), ("status/404", 1)]
)
def test_only_transient_failures_are_tried_again(
    web: HostileWeb, make_fetcher: MakeFetcher, path: str, requests: int
) -> None:
    waits: list[float] = []
    fetcher = make_fetcher(attempts=3, sleep=waits.append)

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
