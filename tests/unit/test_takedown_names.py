"""What kind of thing a name in a takedown is."""

import pytest

from kaption.schemas import TakedownKind
from kaption.workers.cli.takedown import names_in
from kaption.workers.settings import UserError
from kaption.workers.takedown.names import kind_of

KINDS = {
    "4f2a" * 16: "sha256",
    "4F2A" * 16: "sha256",
    "https://example.org": "url",
    "HTTP://example.org/a?b=c#d": "url",
    "http://[2001:db8::1]/a.jpg": "url",
    "https://example.org/my photo.jpg": "url",
    "HTTPS:\\\\example.org\\a.jpg": "url",
    "https://me:secret@example.org/": "url",
    "example.org": "domain",
    "Deep.Example.org.": "domain",
    "xn--bcher-kva.example": "domain",
    "bücher.example": "domain",
    "例え。テスト": "domain",
    "4f2a" * 8: "pair",
    "pair-1": "pair",
    "crawl/page/7": "pair",
    "a pair: with spaces": "pair",
    "crawl-" + "4f2a" * 16: "pair",
    "1.5": "pair",
    "localhost": "pair",
}
DOUBTFUL = (
    "url",
    "Domain:",
    "image",
    "example.org/cat.jpg",
    "example.org:8080",
    "*.example.org",
    "ftp://example.org/cat.jpg",
    "s3://bucket/key",
    "//cdn.example.org/cat.jpg",
    "example.org ",
    " example.org",
    "https://example.org/cat.jpg\n",
    "4f2a" * 16 + "\r",
    "4f2a" * 15,
    "sha256:" + "4f2a" * 16,
    "SHA-256=" + "4f2a" * 16,
    "4f2a" * 16 + "0",
    "192.0.2.7",
    "2001:db8::1",
    "[2001:db8::1]",
    "# asked by the owner",
)


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_a_clear_name_is_inferred(name: str) -> None:
    assert kind_of(name) == KINDS[name]


@pytest.mark.parametrize("name", DOUBTFUL)
def test_an_ambiguous_name_needs_a_kind_and_may_then_be_a_pair(name: str) -> None:
    with pytest.raises(UserError, match="--kind"):
        kind_of(name)
    assert kind_of(name, TakedownKind.PAIR) is TakedownKind.PAIR


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", None),
        ("p" * 257, None),
        ("", "pair"),
        ("example.org", "url"),
        ("https://", "url"),
        ("https://exa mple.org/a", "url"),
        ("4f2a", "sha256"),
        ("https://example.org", "domain"),
        ("example.org/a", "domain"),
        ("*.example.org", "domain"),
    ],
)
def test_a_name_that_does_not_fit_its_kind_is_refused(name: str, kind: str | None) -> None:
    with pytest.raises(UserError, match=r"is no (pair|url|sha256|domain): give"):
        kind_of(name, None if kind is None else TakedownKind(kind))


@pytest.mark.parametrize("name", ["192.0.2.7", "0xc0000207", "2001:db8::1", "localhost"])
def test_any_host_is_a_domain_if_the_kind_says_so(name: str) -> None:
    assert kind_of(name, TakedownKind.DOMAIN) is TakedownKind.DOMAIN


def test_a_file_gives_names_one_a_line(tmp_path):
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffexample.org\r\n\n  \nhttps://example.org/a b\n".encode())
    assert names_in(file) == ["example.org", "https://example.org/a b"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00", None])
def test_a_file_without_names_is_refused(tmp_path, content):
    file = tmp_path / "names.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match="--file"):
        names_in(file)
