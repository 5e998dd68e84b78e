"""Cookies go where a browser sends them."""

import pytest

from kaption.workers.fetch.cookies import Cookies
from kaption.workers.fetch.target import read_target

FROM = "https://img.example.com/a/b.jpg?sign=1/2"


def sent(asked: str, *headers: str, to: str) -> str:
    cookies = Cookies()
    cookies.take(read_target(asked), [("set-cookie", header) for header in headers])
    return cookies.header(read_target(to))


@pytest.mark.parametrize(
    ("header", "to", "expected"),
    [
        ("a=1", "https://img.example.com/a/c.jpg", "a=1"),
        ("a=1", "https://img.example.com:8443/a/c/d.jpg?x", "a=1"),
        ("a=1", "https://img.example.com/other.jpg", ""),
        ("a=1; path=/", "https://img.example.com/other.jpg", "a=1"),
        ("a=1; path=/", "https://www.example.com/", ""),
        ("a=1; path=/; domain=example.com", "https://www.example.com/", "a=1"),
        ("a=1; path=/; domain=.EXAMPLE.com", "https://example.com/", "a=1"),
        ("a=1; path=/; domain=img.example.com", "https://x.img.example.com/", "a=1"),
        ("a=1; path=/; domain=example.com", "https://badexample.com/", ""),
        ("a=1; path=/; domain=other.com", "https://other.com/", ""),
        ("a=1; path=/; domain=com", "https://img.example.com/", ""),
        ("a=1; path=/; domain=x.img.example.com", "https://x.img.example.com/", ""),
        ("a=1; path=/a", "https://img.example.com/a", "a=1"),
        ("a=1; path=/a/", "https://img.example.com/a/b", "a=1"),
        ("a=1; path=/a", "https://img.example.com/ab", ""),
        ("a=1; path=/; secure", "https://img.example.com/", "a=1"),
        ("a=1; path=/; secure", "http://img.example.com/", ""),
        ("=1; path=/", "https://img.example.com/", "1"),
        ("alone; path=/", "https://img.example.com/", "alone"),
        ("; path=/", "https://img.example.com/", ""),
        ("a=1; path=/; note=\x01", "https://img.example.com/", ""),
        ("a=1; path=/; expires=Fri, 32 Jan 1999 00:00:00 GMT", "https://img.example.com/", "a=1"),
        ("a=1; path=/; expires=1999 Jan 31 00:00:00", "https://img.example.com/", ""),
    ],
)
def test_a_cookie_reaches_its_hosts_and_paths(header: str, to: str, expected: str) -> None:
    assert sent(FROM, header, to=to) == expected


def test_cookies_are_replaced_deleted_and_ordered() -> None:
    headers = (
        *("old=1; path=/", "gone=1; path=/", "deep=1; path=/a", "old=2; path=/"),
        "gone=; path=/; expires=Thu, 01-Jan-1970 00:00:00 GMT",
    )
    assert sent(FROM, *headers, to="https://img.example.com/a/") == "deep=1; old=2"


@pytest.mark.parametrize("domain", ["localhost", "127.0.0.1", "[::1]"])
def test_a_host_without_dots_or_names_may_name_itself(domain: str) -> None:
    url = f"http://{domain}:8000/"
    assert sent(url, f"a=1; domain={domain}", to=url) == "a=1"


def test_servers_cannot_fill_the_memory() -> None:
    headers = [f"{number}=1" for number in range(1_000)]
    assert len(sent(FROM, *headers, to=FROM).split("; ")) == 180
