"""The page over HTTP: who may do what, and what every answer carries."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from kaption.schemas import CleanPair
from kaption.schemas.topics import AUDITED, CLEAN
from kaption.workers.local import Tansu
from support.auditing import TOKENS, AuditSite, audit_site

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture
def site(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    made = audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path)
    made.publish(1, clean_text=HOSTILE, page_url="javascript:alert(1)", source=HOSTILE)
    return made


@pytest.fixture
def page(site: AuditSite) -> Iterator[TestClient]:
    with site.page() as client:
        yield client


def log_in(page: TestClient, name: str = "ana") -> str:
    answer = page.post("login", data={"token": TOKENS[name]})
    assert answer.status_code == 200, answer.text
    return answer.text


def asks_for_a_token(page: TestClient, headers: Any = None) -> bool:
    return "Your token" in page.get("", headers=headers).text


def fields(html: str) -> dict[str, str]:
    """The hidden fields of the form `decide`."""
    form = html[html.index('id="decide"') :]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)[:3])


def test_a_person_logs_in_decides_once_and_takes_it_back(page: TestClient, site: AuditSite) -> None:
    form = fields(log_in(page)) | {"verdict": "edit", "text": "a blue square"}

    answers = [page.post("decide", data=form) for _ in range(3)]

    assert [it.status_code for it in answers] == [200] * 3
    assert "No pair waits" in answers[0].text
    assert [type(it) for it in site.read(AUDITED)] == [CleanPair]
    undo = dict(re.findall(r'name="(csrf|seen)" value="([^"]*)"', answers[2].text))
    assert "a machine wrote this" in page.post("undo", data=undo).text
    assert len(site.read(CLEAN)) == 3


def test_what_was_decided_last_and_an_undo_that_does_nothing_are_told(page: TestClient) -> None:
    form = fields(log_in(page)) | {"verdict": "edit", "text": "a blue square"}
    decided = page.post("decide", data=form).text
    undo = dict(re.findall(r'name="(csrf|seen)" value="([^"]*)"', decided))

    first, second = (page.post("undo", data=undo) for _ in range(2))

    assert 'corrected: <span dir="auto">a blue square</span>' in decided
    assert (first.status_code, second.status_code) == (200, 409)
    assert "this decision no longer stands" in second.text


def test_a_person_is_told_why_no_pair_is_shown(site: AuditSite) -> None:
    with site.page() as ana, site.page() as ben:
        form = fields(log_in(ana))

        assert "Others have the pairs that wait" in log_in(ben, "ben")
        ana.post("decide", data=form | {"verdict": "accept"})
        assert "No pair waits for you" in ben.get("").text


def test_each_log_in_and_decision_is_a_line_of_the_log(
    page: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kaption.workers.audit")
    page.post("login", data={"token": "nobody's"})
    form = fields(log_in(page)) | {"verdict": "reject"}
    page.post("decide", data=form)
    page.post("decide", data=form)  # the same decision again is none

    lines = [vars(it) for it in caplog.records if it.name.startswith("kaption.workers.audit")]
    told = [
        {name: line[name] for name in ("allowed", "by", "pair_id", "decision") if name in line}
        for line in lines
    ]
    assert told == [
        {"allowed": False},
        {"allowed": True},
        {"by": "ana", "pair_id": "pair-1", "decision": "refused"},
    ]
    assert not any(token in str(lines) for token in TOKENS.values())


def test_a_pair_with_an_odd_name_can_be_judged(page: TestClient, site: AuditSite) -> None:
    log_in(page)
    page.post("decide", data=fields(page.get("").text) | {"verdict": "accept"})
    odd = site.publish(2, pair_id='a\r\n b\t"<>&\u2028é')

    page.post("decide", data=fields(page.get("").text) | {"verdict": "accept"})

    names = [it.pair_id for it in site.read(AUDITED) if isinstance(it, CleanPair)]
    assert sorted(names) == sorted(["pair-1", odd.pair_id])


def test_texts_of_strangers_are_shown_and_not_run(page: TestClient) -> None:
    html = log_in(page)

    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "javascript:" not in html


@pytest.mark.parametrize("path", ["", "login", "static/audit.css", "image/x", "nowhere", "healthz"])
def test_every_answer_forbids_frames_scripts_of_others_and_caches(
    page: TestClient, path: str
) -> None:
    headers = page.get(path).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "no-store" in headers["cache-control"]


def test_the_cookie_is_out_of_reach_of_scripts_and_sites(page: TestClient) -> None:
    page.follow_redirects = False
    plain = page.post("login", data={"token": TOKENS["ana"]})
    secure = page.post(
        "login", data={"token": TOKENS["ana"]}, headers={"x-forwarded-proto": "https"}
    )

    assert plain.headers["location"] == "./"
    for words in ("HttpOnly", "SameSite=strict"):
        assert words in plain.headers["set-cookie"]
    assert "Secure" in secure.headers["set-cookie"]
    assert "Secure" not in plain.headers["set-cookie"]


@pytest.mark.parametrize(
    ("changed", "headers", "status"),
    [
        ({"csrf": ""}, {}, 403),
        ({"csrf": "x.y.z"}, {}, 403),
        ({}, {"origin": "https://evil.example"}, 403),
        ({}, {"origin": "null"}, 403),
        ({}, {"sec-fetch-site": "cross-site"}, 403),
        ({}, {"sec-fetch-site": "same-site"}, 403),
        ({}, {"content-type": "text/plain"}, 415),
        ({}, {"cookie": "kaption_audit=forged"}, 401),
        ({"verdict": "delete"}, {}, 400),
        ({"text": "x" * 2**20}, {}, 413),
    ],
)
def test_forms_that_no_page_of_ours_sent_change_nothing(
    page: TestClient, site: AuditSite, changed: dict[str, str], headers: dict[str, str], status: int
) -> None:
    form = fields(log_in(page)) | {"verdict": "reject"} | changed
    if "cookie" in headers:
        page.cookies.clear()

    assert page.post("decide", data=form, headers=headers).status_code == status
    assert site.read(AUDITED) == []


def test_a_form_of_another_person_is_refused(site: AuditSite) -> None:
    with site.page() as ana, site.page() as ben:
        form = fields(log_in(ana)) | {"verdict": "reject"}
        log_in(ben, "ben")

        assert ben.post("decide", data=form).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "//evil.example/login/",
        "/\\\\evil.example",
        "/%2f%2fevil.example/",
        "/%5c%5cevil.example",
        "/%0d%0aLocation:%20//evil.example",
        "/login/",
        "/image/x/",
        "/static",
        "/static//evil.example/",
        "/?next=//evil.example&to=https:%5c%5cevil.example",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_address_leads_to_another_site(page: TestClient, path: str, method: str) -> None:
    page.follow_redirects = False

    answer = page.request(method, f"http://testserver{path}", headers={"host": "evil.example"})

    assert "location" not in answer.headers
    assert not answer.is_redirect


@pytest.mark.parametrize("token", ["", "a", "a" * 19, "ana", "ana=" + "a" * 20, "ä" * 20])
def test_a_wrong_token_does_not_log_in(page: TestClient, token: str) -> None:
    answer = page.post("login", data={"token": token})

    assert answer.status_code == 403
    assert asks_for_a_token(page)


def test_a_session_ends_when_the_token_changes(site: AuditSite) -> None:
    with site.page() as before, site.page(tokens="ana=" + "z" * 20) as after:
        log_in(before)
        after.cookies.update(before.cookies)

        assert asks_for_a_token(after)


def test_a_header_is_believed_from_the_proxy_alone_and_only_where_it_is_set(
    site: AuditSite,
) -> None:
    named, header = {"x-forwarded-user": "dora"}, {"user_header": "X-Forwarded-User"}
    with site.page() as unset:
        assert asks_for_a_token(unset, named)
    with site.page(**header) as proxied:
        assert "dora" in proxied.get("", headers=named).text
        assert asks_for_a_token(proxied)
        twice = [("x-forwarded-user", "dora"), ("x-forwarded-user", "eve")]
        assert asks_for_a_token(proxied, twice)
        assert asks_for_a_token(proxied, {"x-forwarded-user": "a b"})
    with site.page(client="203.0.113.5", **header) as direct:
        assert asks_for_a_token(direct, named)


def test_images_come_from_the_store_for_people_who_are_logged_in(page: TestClient) -> None:
    (path,) = set(re.findall(r'src="(image/[^"]+)"', log_in(page)))

    image = page.get(path)

    assert (image.status_code, image.headers["content-type"]) == (200, "image/jpeg")
    assert page.get(path[:-1]).status_code == 404
    page.cookies.clear()
    assert page.get(path).status_code == 401


def test_a_text_that_cannot_be_saved_is_given_back(site: AuditSite) -> None:
    with site.page() as ana, site.page() as ben:
        form = fields(log_in(ana)) | {"verdict": "edit", "text": "my long work"}
        ana.post("decide", data=form | {"verdict": "skip"})
        log_in(ben, "ben")

        answer = ana.post("decide", data=form)

    assert answer.status_code == 409
    assert "another person has this pair" in answer.text
    assert "my long work</textarea>" in answer.text
