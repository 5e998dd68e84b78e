"""Elements besides <img> that show images give pairs; those that show none give none."""

import pytest

from kaption.producers.web import image_pairs

TEXT = "a red vase on a table"
SHOWN = {
    "video": f'<video poster="/a.jpg" title="{TEXT}"><source src="a.mp4"></video>',
    "video in a figure": f'<figure><video poster="/a.jpg"></video><figcaption>{TEXT}</figcaption>'
    "</figure>",
    "amp-video": f'<amp-video poster="/a.jpg" aria-label="{TEXT}"></amp-video>',
    "image button": f'<input type=IMAGE src="/a.jpg" alt="{TEXT}">',
    "image of a drawing": f'<svg><image href="/a.jpg"><title>{TEXT}</title></image></svg>',
    "drawing of one image": f'<svg><title>{TEXT}</title><image xlink:href="/a.jpg"/></svg>',
    "drawing with a label": f'<svg aria-label="{TEXT}"><g><image href="/a.jpg"/></g></svg>',
    "old name": f'<image src="/a.jpg" alt="{TEXT}">',
    "amp-img": f'<amp-img src="/a.jpg" alt="{TEXT}"></amp-img>',
    "noscript": f'<noscript><img src="/a.jpg" alt="{TEXT}"></noscript>',
    "embed": f'<embed src="/a.jpg" type="image/jpeg" title="{TEXT}">',
    "embed without a type": f'<embed src="/a.jpg" aria-label="{TEXT}">',
    "embed in a figure": f'<figure><embed src="/a.jpg"><figcaption>{TEXT}</figcaption></figure>',
    "embed in an object": f'<object data="/a.jpg" type=image/jpeg><embed src="/a.jpg" alt="{TEXT}">'
    "</object>",
    "image_src": f'<link rel="image_src" href="/a.jpg"><title>{TEXT}</title>',
    "image_src among others": f'<link rel="preload IMAGE_SRC" href="../a.jpg">'
    f'<meta name="twitter:title" content="{TEXT}"><title>Shop</title>',
    "image_src in the body": f"<title>{TEXT}</title><p><link href=/a.jpg rel=image_src></p>",
    "image_src beside Open Graph": f'<link rel=image_src href="/a.jpg">'
    f'<meta property="og:image" content="/a.jpg"><meta property="og:title" content="{TEXT}">',
    "microdata": '<div itemscope itemtype="https://schema.org/Recipe">'
    f"<h1 itemprop=name>{TEXT}</h1>"
    '<meta itemprop="image" content="../a.jpg"></div>',
    "microdata of an item with parts": '<div itemscope><p><link itemprop="url image" href="/a.jpg">'
    f"</p><div itemprop=offers itemscope><b itemprop=name>9 EUR</b></div><meta itemprop=name"
    f' content="{TEXT}"></div>',
    "microdata of an image": '<figure itemscope itemtype="http://schema.org/ImageObject"><link'
    f' itemprop=contentUrl href="/a.jpg"><i itemprop=name>x</i><p itemprop=caption>{TEXT}</p>'
    "</figure>",
    "microdata with a whole address": '<div itemscope><link itemprop="http://schema.org/image"'
    f' href="/a.jpg"><span itemprop="http://schema.org/name">{TEXT}</span></div>',
    "microdata beside the image": f'<div itemscope><img itemprop=image src="/a.jpg" alt="{TEXT}">'
    '<meta itemprop=image content="/a.jpg"><b itemprop=name>Vase</b></div>',
    "fallback of a video": f'<video src="/a.mp4"><img src="/a.jpg" alt="{TEXT}"></video>',
}
NOT_SHOWN = {
    "embedded film": f'<embed src="/m.swf" type="application/x-shockwave-flash" title="{TEXT}">',
    "embedded page": f'<embed src="/a.html" title="{TEXT}"><embed src="/a" title="{TEXT}">',
    "embedded drawing": f'<embed src="/a.svg" type="image/svg+xml" title="{TEXT}">',
    "image_src without a text": '<link rel="image_src" href="/a.jpg">',
    "image_src of a template": f'<link rel="image_src" href="{{{{ img }}}}"><title>{TEXT}</title>',
    "microdata without an item": '<meta itemprop=image content="/a.jpg">'
    f"<b itemprop=name>{TEXT}</b>",
    "microdata without a text": '<div itemscope><meta itemprop=image content="/a.jpg"></div>',
    "microdata of a publisher": "<div itemscope><div itemprop=publisher itemscope>"
    f'<meta itemprop=image content="/a.jpg"><b itemprop=name>{TEXT}</b></div></div>',
    "microdata of a film": '<div itemscope itemtype="https://schema.org/VideoObject"><link'
    f' itemprop=contentUrl href="/a.jpg"><b itemprop=name>{TEXT}</b></div>',
    "microdata of a template": f'<div itemscope><meta itemprop=image content="{{{{ img }}}}">'
    f"<b itemprop=name>{TEXT}</b></div>",
    "preload": f'<link rel=preload as=image href="/a.jpg" alt="{TEXT}" title="{TEXT}">',
    "icon": f'<link rel=icon href="/a.png" title="{TEXT}">',
    "area": f'<map><area href="/a.jpg" alt="{TEXT}"></map>',
    "text field": f'<input type=text src="/a.jpg" alt="{TEXT}">',
    "video without a poster": f'<video src="/a.jpg" title="{TEXT}"></video>',
    "drawing without an image": f'<svg><title>{TEXT}</title><path d="M0 0"/></svg>',
    "title of a drawing of two": f'<svg><title>{TEXT}</title><image href="/a.jpg"/>'
    '<image href="/b.jpg"/></svg>',
    "template": f'<template><img src="/a.jpg" alt="{TEXT}"></template>',
    "comment": f'<!-- <img src="/a.jpg" alt="{TEXT}"> -->',
}


def pairs(html: str) -> list[tuple[str | None, str]]:
    found = image_pairs(f"<html><body>{html}</body></html>", "https://shop.example/p/")
    return [(each["image"].get("url"), each["text"]) for each in found]


@pytest.mark.parametrize("html", SHOWN.values(), ids=SHOWN)
def test_an_element_that_shows_an_image_gives_a_pair(html: str) -> None:
    assert pairs(html) == [("https://shop.example/a.jpg", TEXT)]


@pytest.mark.parametrize("html", NOT_SHOWN.values(), ids=NOT_SHOWN)
def test_what_shows_no_image_gives_none(html: str) -> None:
    assert pairs(html) == []


def test_images_of_one_figure_keep_their_own_texts() -> None:
    own, shared = '<img src="/a.jpg" alt="the front">', '<img src="/b.jpg">'

    found = pairs(f"<figure>{own}{shared}<figcaption>Two views</figcaption></figure>")

    assert [text for _, text in found] == ["the front", "Two views"]
