"""The files of image servers are asked for seldom, and their absence is no failure."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import brotli
import pytest

from kaption.workers.fetch import site_rules
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.site_rules import KEEP_FAILURE_S, KEEP_S, PAUSE_S, SiteRules
from kaption.workers.runtime.stage import Later
from support.hostile_web import HostileWeb
from support.owners import OwnersWeb, Said
from support.web import Waits

pytestmark = pytest.mark.slow

ROBOTS, TDM_REP = "/robots.txt", "/.well-known/tdmrep.json"
FORBID = Said(b"User-agent: *\nDisallow: /no")
RESERVE = Said(b'[{"location": "/no", "tdm-reservation": 1}]')
Make = Callable[..., Fetcher]


def kinds(sites: SiteRules, url: str, **options: object) -> list[str]:
    return [one.kind for one in sites.signals(url, **options)]  # type: ignore[arg-type] # per test


def patiently(sites: SiteRules, url: str, waits: Waits) -> list[str]:
    """The kinds after the pauses that the sites ask for."""
    while True:
        try:
            return kinds(sites, url)
        except Later as later:
            waits(later.after_s)


def test_both_files_are_read_once_for_all_addresses_of_a_site(make_fetcher: Make) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: FORBID, TDM_REP: RESERVE}
        sites = make_fetcher().sites

        found = [kinds(sites, f"{web.url}/{path}") for path in ("no/1.jpg", "yes.jpg", "no/2.jpg")]

    assert found == [["robots_txt", "tdm_reservation"], [], ["robots_txt", "tdm_reservation"]]
    assert web.requests == {ROBOTS: 1, TDM_REP: 1}


@pytest.mark.parametrize(
    ("pack", "coding"),
    [
        (bytes, "gzip"),
        (bytes, "br, gzip"),
        (bytes, "UTF-8"),
        (gzip.compress, "gzip"),
        (gzip.compress, "none"),
        (gzip.compress, "deflate"),
        (zlib.compress, "deflate"),
        (brotli.compress, "br"),
    ],
)
def test_the_bytes_of_a_file_decide_how_it_is_packed(
    make_fetcher: Make, pack: Callable[[bytes], bytes], coding: str
) -> None:
    with OwnersWeb() as web:
        web.answers = {
            path: Said(pack(said.body), headers={"Content-Encoding": coding})
            for path, said in ((ROBOTS, FORBID), (TDM_REP, RESERVE))
        }
        sites = make_fetcher().sites

        assert kinds(sites, f"{web.url}/no.jpg") == ["robots_txt", "tdm_reservation"]
        assert kinds(sites, f"{web.url}/yes.jpg") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_robots_txt_is_read_in_each_encoding_that_editors_write(
    make_fetcher: Make, encoding: str
) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: Said(FORBID.body.decode().encode(encoding))}

        assert kinds(make_fetcher().sites, f"{web.url}/no.jpg") == ["robots_txt"]


def test_threads_that_ask_at_once_share_one_request(make_fetcher: Make) -> None:
    with OwnersWeb() as web, ThreadPoolExecutor(16) as pool:
        web.answers = {ROBOTS: Said(FORBID.body, delay_s=0.3)}
        sites = make_fetcher().sites

        found = list(pool.map(lambda n: kinds(sites, f"{web.url}/no/{n}.jpg"), range(16)))

    assert found == [["robots_txt"]] * 16
    assert web.requests[ROBOTS] == 1


def test_without_asking_only_what_is_known_counts(make_fetcher: Make) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: FORBID}
        sites = make_fetcher().sites

        before = kinds(sites, f"{web.url}/no.jpg", ask=False)
        asked = dict(web.requests)
        kinds(sites, f"{web.url}/other.jpg")
        after = kinds(sites, f"{web.url}/no.jpg", ask=False)

    assert (before, asked, after) == ([], {}, ["robots_txt"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 499])
def test_a_site_without_robots_txt_allows_everything(make_fetcher: Make, status: int) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: Said(FORBID.body, status), TDM_REP: Said(RESERVE.body, status)}

        assert kinds(make_fetcher().sites, f"{web.url}/no.jpg") == []


@pytest.mark.parametrize("status", [429, 500, 503, 521])
def test_a_server_that_fails_forbids_everything_for_some_minutes(
    make_fetcher: Make, waits: Waits, status: int
) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: Said(status=status)}
        sites = make_fetcher(waits=waits).sites

        patiently(sites, f"{web.url}/yes.jpg", waits)
        (signal,) = sites.signals(f"{web.url}/yes.jpg")
        web.answers = {ROBOTS: FORBID}
        early = kinds(sites, f"{web.url}/yes.jpg")
        waits.now += KEEP_FAILURE_S + 1
        late = kinds(sites, f"{web.url}/yes.jpg")

    assert (signal.kind, signal.source) == ("robots_txt_unreachable", f"{web.url}/robots.txt")
    assert str(status) in signal.value
    assert (early, late) == (["robots_txt_unreachable"], [])
    assert waits == [PAUSE_S]


@pytest.mark.parametrize("path", [ROBOTS, TDM_REP])
@pytest.mark.parametrize(("asked", "pause_s"), [(None, PAUSE_S), ("20", 20.0), ("2", PAUSE_S)])
def test_a_failure_that_passes_costs_a_pause_and_no_image(
    make_fetcher: Make, waits: Waits, path: str, asked: str | None, pause_s: float
) -> None:
    # Given a server that fails once to give a file
    with OwnersWeb() as web:
        web.answers = {path: Said(status=503, headers={"Retry-After": asked} if asked else {})}
        sites = make_fetcher(waits=waits).sites
        url = f"{web.url}/yes.jpg"
        # When several records of it come, they are postponed before their images are fetched
        for ask in (True, False, False):
            with pytest.raises(Later) as later:
                sites.signals(url, ask=ask)
            assert later.value.after_s == pause_s
        # Then the file is asked for once more, also before an image is fetched
        web.answers = {ROBOTS: FORBID, TDM_REP: RESERVE}
        waits.now += pause_s
        assert kinds(sites, f"{web.url}/no.jpg", ask=False) == ["robots_txt", "tdm_reservation"]
        assert web.requests[path] == 2


def test_a_server_that_asks_for_a_long_pause_is_not_waited_for(
    make_fetcher: Make, waits: Waits
) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: Said(status=503, headers={"Retry-After": "3600"})}

        assert kinds(make_fetcher(waits=waits).sites, web.url) == ["robots_txt_unreachable"]


def test_a_silent_server_of_a_moved_robots_txt_is_asked_a_few_times_only(
    make_fetcher: Make, waits: Waits, web: HostileWeb
) -> None:
    # Given many sites whose robots.txt lies on one server that says nothing
    fetcher = make_fetcher(waits=waits, total_timeout_s=1.0)
    there = Said(status=301, headers={"Location": web.url("slow-headers")})
    for _ in range(6):
        with OwnersWeb() as site:
            site.answers = {ROBOTS: there}
            assert patiently(fetcher.sites, site.url, waits) == ["robots_txt_unreachable"]

    assert web.requests.total() == 3


@pytest.mark.parametrize("behaviour", ["reset", "garbage", "slow-headers", "short", "continue"])
def test_a_broken_server_forbids_everything_in_bounded_time(
    make_fetcher: Make, web: HostileWeb, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_rules, "ROBOTS_TXT_PATH", f"/{behaviour}")
    waits = Waits()
    sites = make_fetcher(total_timeout_s=0.5, waits=waits).sites

    assert patiently(sites, web.url("ok"), waits) == ["robots_txt_unreachable"]


def test_a_server_that_gives_images_and_never_its_robots_txt_is_not_asked_for_ever(
    make_fetcher: Make, web: HostileWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server whose robots.txt never comes, and whose images do
    monkeypatch.setattr(site_rules, "ROBOTS_TXT_PATH", "/slow-headers")
    waits = Waits()
    fetcher = make_fetcher(total_timeout_s=0.5, waits=waits)
    # When a record is prepared as ingest does it, until there is an outcome
    found: list[str] = []
    while not found and len(waits) < 10:
        try:
            found = kinds(fetcher.sites, web.url("ok"), ask=False)
            if not found:
                fetcher.fetch(web.url("ok"))
                found = kinds(fetcher.sites, web.url("ok"))
        except Later as later:
            waits(later.after_s)
    # Then its rules count as unknown after one pause
    assert (found, waits) == (["robots_txt_unreachable"], [PAUSE_S])


def test_rules_are_asked_for_again_after_hours(make_fetcher: Make, waits: Waits) -> None:
    with OwnersWeb() as web:
        sites = make_fetcher(waits=waits).sites
        before = kinds(sites, f"{web.url}/no.jpg")
        web.answers = {ROBOTS: FORBID}
        waits.now += KEEP_S + 1

        assert (before, kinds(sites, f"{web.url}/no.jpg")) == ([], ["robots_txt"])


@pytest.mark.parametrize(
    "answer",
    [
        Said(b""),
        Said(b"<html>home</html>"),
        Said(b"User-agent: *\nAllow: /\n" + b"#" * 600_000 + b"\nDisallow: /no"),
        Said(b"\xff\xfe\x00"),
        Said(status=204),
        Said(status=302, headers={"Location": "/robots.txt"}),
    ],
)
def test_empty_odd_and_endless_files_forbid_nothing(make_fetcher: Make, answer: Said) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: answer, TDM_REP: answer}

        assert kinds(make_fetcher().sites, f"{web.url}/no.jpg") == []


def test_redirects_are_followed_and_their_addresses_checked(make_fetcher: Make) -> None:
    with OwnersWeb() as web:
        web.answers = {
            ROBOTS: Said(status=301, headers={"Location": "/moved.txt"}),
            "/moved.txt": FORBID,
        }
        inside = Said(status=302, headers={"Location": "http://169.254.169.254/robots.txt"})

        moved = kinds(make_fetcher().sites, f"{web.url}/no.jpg")
        web.answers = {ROBOTS: inside}
        (denied,) = make_fetcher().sites.signals(f"{web.url}/no.jpg")

    assert moved == ["robots_txt"]
    assert denied.kind == "robots_txt_unreachable"
    assert "link-local" in denied.value


def test_a_site_whose_kinds_are_all_ignored_is_not_asked(make_fetcher: Make) -> None:
    ignored = {"robots_txt", "robots_txt_unreachable", "tdm_reservation"}
    ignored |= {"content_usage", "content_signal", "rsl_licence", "rsl_licence_unread"}
    with OwnersWeb() as web:
        assert kinds(make_fetcher().sites, f"{web.url}/no.jpg", ignored=ignored) == []
    assert not web.requests


TERMS = Said(
    b'<rsl xmlns="https://rslstandard.org/rsl"><content url="/no"><license>'
    b'<prohibits type="usage">ai-train</prohibits></license></content></rsl>'
)


def test_the_licence_that_a_robots_txt_names_is_read_once_for_all_sites(make_fetcher: Make) -> None:
    with OwnersWeb() as one, OwnersWeb() as two:
        one.answers = {ROBOTS: Said(b"License: /terms.xml"), "/terms.xml": TERMS}
        two.answers = {ROBOTS: Said(f"License: {one.url}/terms.xml".encode())}
        sites = make_fetcher().sites

        before = sites.signals(f"{one.url}/no.jpg", ask=False)
        (said,) = sites.signals(f"{one.url}/no.jpg")
        other = kinds(sites, f"{two.url}/no.jpg")
        free = [kinds(sites, f"{web.url}/yes.jpg") for web in (one, two)]
        after = kinds(sites, f"{two.url}/no.jpg", ask=False)

    assert (said.kind, said.value) == ("rsl_licence", "prohibits ai-train")
    assert said.source == f"{one.url}/terms.xml"
    assert (before, other, free, after) == ((), ["rsl_licence"], [[], []], ["rsl_licence"])
    assert one.requests["/terms.xml"] == 1


@pytest.mark.parametrize(
    "terms",
    [
        Said(b"<html><body>Creative Commons</body></html>"),
        Said(b"All rights reserved"),
        Said(TERMS.body.replace(b"prohibits", b"permits")),
        Said(b"<rsl></rsl>"),
    ],
)
def test_a_licence_that_refuses_nothing_allows(make_fetcher: Make, terms: Said) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: Said(b"License: /terms.xml"), "/terms.xml": terms}

        assert kinds(make_fetcher().sites, f"{web.url}/no.jpg") == []


@pytest.mark.parametrize(
    ("named", "terms"),
    [
        ("/terms.xml", Said(status=404)),
        ("/terms.xml", Said(status=402)),
        ("/terms.xml", Said(TERMS.body[:-5])),
        ("/terms.xml", Said(b"")),
        ("/terms.xml", Said(status=503)),
        ("/terms.xml", Said(status=302, headers={"Location": "http://169.254.169.254/"})),
        ("http://169.254.169.254/terms.xml", TERMS),
        ("http://user:word@e.org/terms.xml", TERMS),
        ("//", TERMS),
    ],
)
def test_a_licence_that_cannot_be_read_counts_with_a_kind_of_its_own(
    make_fetcher: Make, waits: Waits, named: str, terms: Said
) -> None:
    with OwnersWeb() as web:
        web.answers = {ROBOTS: Said(f"License: {named}".encode()), "/terms.xml": terms}
        sites = make_fetcher(waits=waits).sites

        patiently(sites, f"{web.url}/yes.jpg", waits)
        (said,) = sites.signals(f"{web.url}/yes.jpg")
        ignoring = kinds(sites, f"{web.url}/yes.jpg", ignored={"rsl_licence_unread"})

    assert (said.kind, said.source) == ("rsl_licence_unread", f"{web.url}/robots.txt")
    assert named in said.value
    assert ignoring == []
    assert waits == ([PAUSE_S] if terms.status == 503 else [])


@pytest.mark.parametrize(("limit", "value"), [("MAX_SITES", 2), ("MAX_BYTES", 800)])
def test_the_memory_is_bounded(
    make_fetcher: Make, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(site_rules, limit, value)
    with OwnersWeb() as one, OwnersWeb() as two, OwnersWeb() as three:
        one.answers = two.answers = three.answers = {ROBOTS: FORBID}
        webs = [one, two, three]
        sites = make_fetcher().sites
        for web in (one, two, one, three):
            kinds(sites, f"{web.url}/a.jpg")
        known = [kinds(sites, f"{web.url}/a.jpg") for web in (one, three)]

    assert len(sites._sites) == 2
    assert known == [[], []]
    assert [web.requests[ROBOTS] for web in webs] == [1, 1, 1]
