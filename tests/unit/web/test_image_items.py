"""`image_items` gives a spider one item for each image of a response."""

from datetime import datetime
from typing import Any

import pytest
from scrapy.http import HtmlResponse, Response, TextResponse

from kaption.producers.scrapy_pipeline import image_items
from kaption.producers.web import TdmRep

URL = "https://example.org/shop/"
BODY = '<img src="mug.jpg" alt="Ein Krüglein">'


def page(encoding: str = "utf-8", headers: dict[str, Any] | None = None) -> HtmlResponse:
    return HtmlResponse(URL, body=BODY.encode(encoding), encoding=encoding, headers=headers)


def test_an_item_is_what_the_page_says() -> None:
    (item,) = image_items(page("iso-8859-1"))

    datetime.fromisoformat(item.pop("fetched_at"))
    assert item == {
        "image": {"url": URL + "mug.jpg"},
        "text": "Ein Krüglein",
        "page_url": URL,
        "extra": {"text_source": "alt", "texts": {"alt": "Ein Krüglein"}},
    }


def test_every_header_of_a_name_is_read() -> None:
    headers = {"X-Robots-Tag": ["noai", "mybot: noindex", "otherbot: none"]}

    (item,) = image_items(page(headers=headers), agents=["mybot"])

    assert [signal["value"] for signal in item["opt_out"]] == ["noai", "mybot: noindex"]


def test_the_site_s_reservation_counts() -> None:
    rules = TdmRep.parse('[{"location": "/shop/", "tdm-reservation": 1}]')

    (item,) = image_items(page(), rules)

    assert item["opt_out"] == [{"kind": "tdm_reservation", "value": "1"}]


@pytest.mark.parametrize("kind", [Response, TextResponse])
def test_a_response_without_html_has_no_items(kind: type[Response]) -> None:
    assert list(image_items(kind(URL, body=BODY.encode()))) == []
