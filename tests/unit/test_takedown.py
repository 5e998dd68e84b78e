"""What a takedown covers."""

from datetime import UTC, datetime

import pytest

from kaption.schemas import (
    Caption,
    CaptionKind,
    CleanPair,
    ImageSource,
    RawPair,
    Takedown,
    TakedownKind,
    TextSource,
)
from kaption.testing.records import blob_ref, clean_pair, image_ref

STORED, DELIVERED = "a" * 64, "b" * 64


def pair(**changed: object) -> CleanPair:
    image = image_ref(
        blob_ref(sha256=STORED),
        original_sha256=DELIVERED,
        url="https://cdn.example.net/dog.jpg",
        crawled_url="http://dog.example.com/latest",
    )
    page = "https://Blog.Example.org:8443/page?q=1"
    return clean_pair(1, image=image, page_url=page).model_copy(update=changed)


def takedown(kind: str, value: str) -> Takedown:
    return Takedown(kind=TakedownKind(kind), value=value, requested_at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("pair", "pair-1"),
        ("sha256", STORED),
        ("sha256", DELIVERED),
        ("url", "https://cdn.example.net/dog.jpg"),
        ("url", "https://Blog.Example.org:8443/page?q=1"),
        ("url", "HTTPS://blog.example.org:8443/page?q=1#comments"),
        ("url", "https://cdn.example.net:443/dog.jpg"),
        ("url", "http://dog.example.com/latest"),
        ("domain", "dog.example.com"),
        ("sha256", "A" * 64),
        ("domain", "example.net"),
        ("domain", "Example.ORG."),
        ("domain", "blog.example.org"),
    ],
)
def test_a_takedown_covers_what_it_names(kind: str, value: str) -> None:
    assert takedown(kind, value).covers(pair())


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("pair", "pair-10"),
        ("sha256", "c" * 64),
        ("url", "https://cdn.example.net/dog.jpg?size=2"),
        ("url", "https://cdn.example.net/Dog.jpg"),
        ("url", "http://cdn.example.net/dog.jpg"),
        ("domain", "ample.net"),
        ("domain", "other.cdn.example.net"),
        ("domain", "net.example"),
    ],
)
def test_a_takedown_covers_nothing_else(kind: str, value: str) -> None:
    assert not takedown(kind, value).covers(pair())


@pytest.mark.parametrize(
    ("kind", "value"),
    [("url", "https://Photos.example/dog.jpg#top"), ("domain", "photos.example")],
)
def test_an_inline_image_is_covered_by_the_address_in_its_record(kind: str, value: str) -> None:
    sent = pair().image.model_copy(update={"url": None, "crawled_url": None})
    told = {"image_url": "https://photos.example/dog.jpg"}
    assert takedown(kind, value).covers(pair(image=sent, extra=told))
    assert not takedown(kind, value).covers(pair(image=sent, extra={"image_url": 7}))


@pytest.mark.parametrize("url", ["http://[broken", "http://ä..example.com/", "no url"])
def test_a_text_that_is_no_url_is_under_no_domain(url: str) -> None:
    assert not takedown("domain", "example.org").covers(pair(page_url=url))
    assert takedown("url", url).covers(pair(page_url=url))


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("domain", "Example.org.", "example.org"),
        ("sha256", "AB" * 32, "ab" * 32),
        ("url", "HTTP://example.org:80#top", "http://example.org/"),
        ("url", "https://bücher.example/ä b?ö", "https://xn--bcher-kva.example/%C3%A4%20b?%C3%B6"),
        ("domain", "Bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_spellings_of_one_address_have_one_id(kind: str, one: str, other: str) -> None:
    assert takedown(kind, one).takedown_id == takedown(kind, other).takedown_id


SPELLINGS = (
    "https://bücher.example/ä%7e/b.jpg?q=|",
    "HTTPS://BÜCHER.EXAMPLE:443/ä~/b.jpg?q=|#top",
    "https:\\\\bücher.example\\ä~\\b.jpg?q=|",
    "https://xn--bcher-kva.example./%c3%a4~/b.jpg?q=%7c",
    "https:/b%C3%BCcher.example/x/../ä~/./b.jpg?q=|",
    "\thttps://büch\ner.exam\tple/ä%7E/b.jpg?q=|  ",
    "https://me:secret@\uff42ücher｡example/%C3%A4~/b.jpg?q=|",
    "//bücher.example/ä~/b.jpg?q=|",
)
NUMBERS = ("192.0.2.7", "0xC0000207", "0300.0.0x2.07", "3221225991", "192.0.519", "192.0.2.7.")


@pytest.mark.parametrize("field", ["url", "crawled_url", "page_url", "image_url", "alternative"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_any_spelling_of_an_address_is_covered_by_any_other(spelling: str, field: str) -> None:
    # Given
    bare = pair(image=pair().image.model_copy(update={"url": None, "crawled_url": None}))
    found: CleanPair | RawPair = bare
    if field == "page_url":
        found = bare.model_copy(update={field: spelling})
    elif field == "image_url":
        found = bare.model_copy(update={"extra": {field: spelling}})
    elif field == "alternative":
        image = ImageSource(url="https://cdn.example.net/a.jpg", alternatives=(spelling,))
        found = RawPair(pair_id="1", text="", image=image)
    else:
        found = bare.model_copy(update={"image": bare.image.model_copy(update={field: spelling})})
    # Then
    for other in SPELLINGS:
        assert takedown("url", other).covers(found), other
    for host in (
        "bücher.example",
        "BÜCHER。example.",
        "xn--bcher-kva.example",
        "b%C3%BCcher.example",
    ):
        assert takedown("domain", host).covers(found), host
    assert takedown("domain", "example").covers(found)
    assert not takedown("domain", "bucher.example").covers(found)


@pytest.mark.parametrize("number", NUMBERS)
def test_an_ip_address_is_covered_in_any_notation(number: str) -> None:
    found = pair(page_url=f"http://{number}/cat.jpg")
    for other in NUMBERS:
        assert takedown("domain", other).covers(found), other
        assert takedown("url", f"http://{other}:80/cat.jpg").covers(found), other
    assert takedown("domain", "2001:DB8:0::1").covers(
        pair(page_url="https://[2001:db8::0:1]:8443/")
    )


def test_a_takedown_of_a_domain_covers_hosts_below_it_that_browsers_refuse() -> None:
    for url in (
        "http://xn--0.example.org/",
        "https://a.example.org:99999/x",
        "//www.example.org\\x",
    ):
        assert takedown("domain", "example.org").covers(pair(page_url=url)), url


@pytest.mark.parametrize(
    "value", ["example.org/dog", "example.org:8443", "me@example.org", "*.org"]
)
def test_a_value_that_is_no_host_covers_no_host(value: str) -> None:
    assert not takedown("domain", value).covers(pair(page_url="https://me@example.org:8443/dog"))


def test_a_takedown_of_an_image_names_the_takedown_that_found_it() -> None:
    found_by = takedown("domain", "example.org")
    of_image = found_by.of_image(DELIVERED)
    assert of_image.covers(pair(pair_id="other", page_url=None))
    assert of_image.takedown_id == takedown("sha256", DELIVERED).takedown_id
    assert (of_image.picture_of, found_by.picture_of) == (found_by.takedown_id, None)


def test_the_same_request_has_one_id_and_another_has_another() -> None:
    first, again = takedown("pair", "a"), takedown("pair", "a")
    assert first.takedown_id == again.takedown_id != takedown("url", "a").takedown_id


@pytest.mark.parametrize(
    ("kind", "value", "covered"),
    [
        ("pair", "copy", True),
        ("url", "http://copy.example/p", True),
        ("domain", "cdn.example", True),
        ("url", "https://r.example/latest", True),
        ("domain", "other.example", False),
    ],
)
def test_a_clean_pair_is_covered_by_the_source_of_its_captions(
    kind: str, value: str, covered: bool
) -> None:
    # Given a caption that was found with a copy of the image
    source = TextSource(
        pair_id="copy",
        page_url="http://copy.example/p",
        image_url="https://a.cdn.example/i.jpg",
        crawled_url="https://r.example/latest",
    )
    caption = Caption(text="a dog", kind=CaptionKind.ORIGINAL, source=source)

    # When / Then
    assert takedown(kind, value).covers(pair(captions=(caption,))) is covered
