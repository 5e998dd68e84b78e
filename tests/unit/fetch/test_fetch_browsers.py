"""What browsers read, the fetcher reads."""

import gzip
from collections.abc import Callable

import pytest

from kaption.schemas import Reason
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.resolver import Endpoint
from kaption.workers.runtime.stage import Reject
from support.hostile_web import BODY, HostileWeb

pytestmark = pytest.mark.slow

MakeFetcher = Callable[..., Fetcher]
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


def fetched(web: HostileWeb, fetcher: Fetcher, answer: bytes) -> bytes:
    web.raw["answer"] = answer
    return fetcher.fetch(web.url("raw/answer")).data


@pytest.mark.parametrize(
    "head",
    [
        OK + b"Content-Encoding: aws-chunked\r\n" + LENGTH,
        OK + b"Content-Encoding: UTF-8\r\n" + LENGTH,
        OK + b"Content-Encoding: none\r\n" + LENGTH,
        OK + b"Content-Encoding: binary\r\n" + LENGTH,
        OK + b"Content-Encoding: identity, \r\n" + LENGTH,
        OK + b"Content-Encoding:\r\n" + LENGTH,
        OK + b"Content-Encoding: image/jpeg\r\n" + LENGTH,
        OK + b"Content-Length: abc\r\n",
        OK + b"Content-Length: -1\r\n",
        OK + b"Content-Length: \r\n",
        OK + b"Content-Length: 1_1\r\n",
        OK + b"Content-Length: 5, 7\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 7\r\n",
        OK + LENGTH + LENGTH,
        OK + b"Content-Length: " + b"9" * 400 + b"\r\n",
        OK + b"no header at all\r\n" + LENGTH,
        OK + b": no name\r\n" + LENGTH,
        OK + b"Bad Name: x\r\n" + LENGTH,
        OK + b"X-Caf\xe9: x\r\n" + LENGTH,
        OK + b"X-Long: a\r\n  folded\r\n\tagain\r\n" + LENGTH,
        OK + b"X: \x00\xff\x85\r\n" + LENGTH,
        OK + b"Content-Length : %d\r\n" % len(BODY),
        OK + b"X: y\r\n" * 300 + LENGTH,
        OK + b"Set-Cookie: " + b"c" * 60_000 + b"\r\n" + LENGTH[:-2] + b"\r\n",
        b"HTTP/1.1 200\r\n" + LENGTH,
        b"HTTP/1.1 200OK\r\n" + LENGTH,
        b"http/1.1 200 ok\r\n" + LENGTH,
        b"HTTP/2 200 OK\r\n" + LENGTH,
        b"HTTP 200 OK\r\n" + LENGTH,
        b"HTTP/11.1 200 OK\r\n" + LENGTH,
        b"HTTP/1.0 200 OK\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n" + LENGTH,
        b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n" + LENGTH,
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n" + LENGTH,
        OK + b"X-Long: " + b"x" * 100_000 + b"\r\n" + LENGTH,
        b"HTTP/1.1 201 Created\r\n" + LENGTH,
        b"HTTP/1.1 203 Non-Authoritative Information\r\n" + LENGTH,
        b"HTTP/1.1 206 Partial Content\r\n" + LENGTH,
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-10/11\r\n" + LENGTH,
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-10/*\r\n" + LENGTH,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 3 + OK + LENGTH,
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH,
        b"HTTP/1.1 200 OK\nContent-Length: %d\n" % len(BODY),
    ],
)
def test_a_body_behind_an_odd_head_is_read(
    web: HostileWeb, make_fetcher: MakeFetcher, head: bytes
) -> None:
    end = b"\r\n" if head.endswith(b"\r\n") else b"\n"
    assert fetched(web, make_fetcher(), head + end + BODY) == BODY


def test_none_of_many_headers_is_lost(web: HostileWeb, make_fetcher: MakeFetcher) -> None:
    long = b"X-Long: " + b"y" * 70_000 + b"\r\n"
    many = long + b"".join(b"X-%d: y\r\n" % number for number in range(1999))
    web.raw["answer"] = OK + many + b"X-Robots-Tag: noai\r\n" + LENGTH + b"\r\n" + BODY + b"more"
    fetched = make_fetcher().fetch(web.url("raw/answer"))
    assert fetched.data == BODY
    assert ("x-robots-tag", "noai") in fetched.headers
    assert len(fetched.headers) == 2002


@pytest.mark.parametrize("coding", [b"chunked", b" Chunked ", b"gzip, chunked", b"chunked;x=1"])
def test_a_chunked_body_behind_a_malformed_line_has_no_chunk_sizes_in_it(
    web: HostileWeb, make_fetcher: MakeFetcher, coding: bytes
) -> None:
    head = OK + b"oops\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
    assert fetched(web, make_fetcher(), head + b"b\r\n" + BODY + b"\r\n0\r\n\r\n") == BODY


def test_a_coding_behind_a_malformed_line_is_removed(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    odd = b"Content-Encoding: none\r\nContent-Encoding: UTF-8, X-GZIP\r\nContent-Encoding:\r\n"
    head = OK + b"oops\r\n" + odd + b"\r\n"
    assert fetched(web, make_fetcher(), head + gzip.compress(BODY)) == BODY


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-10/99\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-15/16\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"GET / HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 000 Nothing\r\n\r\n",
        OK + b"X: " + b"x" * 300_000 + b"\r\n\r\n",
        OK + b"X: y\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + OK + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\n" + b"Link: <a>\r\n" * 30_000 + b"\r\n" + OK + b"\r\n",
        b"\r\n" * 200_000,
    ],
)
def test_what_is_no_whole_answer_is_refused(
    web: HostileWeb, make_fetcher: MakeFetcher, answer: bytes
) -> None:
    with pytest.raises(Reject) as refused:
        fetched(web, make_fetcher(), answer + BODY)
    assert refused.value.reason in (Reason.FETCH_FAILED, Reason.FETCH_STATUS)
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ("/ok/?é".encode(), "GET /ok/?%C3%A9 HTTP/1.1"),
        ("/ok/?é".encode("latin-1"), "GET /ok/?%C3%A9 HTTP/1.1"),
        ("/ok/?à".encode(), "GET /ok/?%C3%A0 HTTP/1.1"),
        ("/ok/?Å".encode(), "GET /ok/?%C3%85 HTTP/1.1"),
        (b"/ok/?100%", "GET /ok/?100% HTTP/1.1"),
        (b"/ok/?a=%2f%2F|^", "GET /ok/?a=%2f%2F|^ HTTP/1.1"),
        (b"/ok/?a b", "GET /ok/?a%20b HTTP/1.1"),
        (b"  /ok/?x \t", "GET /ok/?x HTTP/1.1"),
        (b"..\\ok/?x", "GET /ok/?x HTTP/1.1"),
        (b"/ok/?one\r\nLocation: /ok/?two", "GET /ok/?one HTTP/1.1"),
    ],
)
def test_a_location_is_read_as_browsers_do(
    web: HostileWeb, make_fetcher: MakeFetcher, location: bytes, line: str
) -> None:
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location
    assert fetched(web, make_fetcher(), head + b"\r\n\r\n") == BODY
    assert web.last_line == line


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("ok/?100%", "/ok/?100%"),
        ("ok/?%zz%4", "/ok/?%zz%4"),
        (
            "ok/?X-Amz-Signature=aB%2Fc%2bd+e~f&t=%E4%e4",
            "/ok/?X-Amz-Signature=aB%2Fc%2bd+e~f&t=%E4%e4",
        ),
        ("ok/?a=[1]&b={2}|^`", "/ok/?a=[1]&b={2}|^`"),
        ("ok/?", "/ok/?"),
        ("./x/../ok/?a\tb\nc", "/ok/?abc"),
        ("ok/?\N{GRINNING FACE}", "/ok/?%F0%9F%98%80"),
        ("ok/?a#b?c", "/ok/?a"),
    ],
)
def test_what_is_valid_in_a_url_is_sent_as_written(
    web: HostileWeb, make_fetcher: MakeFetcher, path: str, sent: str
) -> None:
    assert make_fetcher().fetch(web.url(path)).data == BODY
    assert web.last_line == f"GET {sent} HTTP/1.1"


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTP://127.0.0.1:{port}/ok",
        "http:\\\\127.0.0.1:{port}\\ok",
        "http:/127.0.0.1:{port}/ok",
        " http://127.0.0.1:{port}/ok\n",
        "ht\ntp://127.0.0.1:{port}/o\tk",
        "http://127.1:{port}/ok",
        "http://0x7f.0.0.1:{port}/ok",
        "http://2130706433:{port}/ok",
        "http://0177.0.0.1:{port}/ok",
        "http://127.0.0.1.:{port}/ok",
        "http://%31%32%37.0.0.1:{port}/ok",
        "http://①②⑦。0.0.1:{port}/ok",
        "http://localhost.:{port}/ok",
    ],
)
def test_a_host_is_read_as_browsers_do_and_judged_by_its_address(
    web: HostileWeb, make_fetcher: MakeFetcher, spelling: str
) -> None:
    url = spelling.format(port=web.port)

    def look_up(_: str, port: int) -> list[Endpoint]:
        return [Endpoint(2, ("127.0.0.1", port))]

    assert make_fetcher(look_up=look_up).fetch(url).data == BODY
    with pytest.raises(Reject) as refused:
        make_fetcher(allow_networks=(), look_up=look_up).fetch(url)

    assert refused.value.reason == Reason.FETCH_DENIED


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("Bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("☃.example", "xn--n3h.example"),
        ("日本語。example", "xn--wgv71a119e.example"),
        ("a_b.example", "a_b.example"),
        ("ex%41mple.example", "example.example"),
        ("pictures.example.", "pictures.example"),
        ("soft\u00adhyphen.example", "softhyphen.example"),
    ],
)
def test_a_name_is_looked_up_as_browsers_do(
    web: HostileWeb, make_fetcher: MakeFetcher, host: str, asked: str
) -> None:
    names: list[str] = []

    def look_up(name: str, port: int) -> list[Endpoint]:
        names.append(name)
        return [Endpoint(2, ("127.0.0.1", port))]

    make_fetcher(look_up=look_up).fetch(f"http://{host}:{web.port}/ok")

    assert names == [asked]
    assert web.last_headers["Host"].removesuffix(f":{web.port}").rstrip(".") == asked


def test_the_request_says_that_the_connection_ends(
    web: HostileWeb, make_fetcher: MakeFetcher
) -> None:
    make_fetcher().fetch(web.url("ok"))
    assert web.last_headers["Connection"] == "close"
    assert "Referer" not in web.last_headers


@pytest.mark.parametrize(
    ("page", "referer"),
    [
        ("https://pages.example/a?b#c", None),
        ("http://pages.example/a?b#c", "http://pages.example/"),
        ("http://user:x@pages.example/", None),
        ("not a url", None),
        (None, None),
        ("http://127.0.0.1:{port}/page?x#y", "http://127.0.0.1:{port}/page?x"),
    ],
)
def test_the_page_is_named_as_browsers_do_if_the_setting_says_so(
    web: HostileWeb, make_fetcher: MakeFetcher, page: str | None, referer: str | None
) -> None:
    page = page and page.format(port=web.port)
    make_fetcher(send_referer=True).fetch(web.url("ok"), page)
    assert web.last_headers.get("Referer") == (referer and referer.format(port=web.port))

    make_fetcher().fetch(web.url("ok"), page)
    assert "Referer" not in web.last_headers
