"""Pages as the libraries for lazy loading, shops and galleries make them: which image, which text.

Each page is written in the manner of the software in its name, with an image "mug" and often a
placeholder that must not be taken for it.
"""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from kaption.producers.web import image_pairs

PAGE = "https://example.org/shop/mugs.html"
MUG = "https://example.org/i/mug.jpg"
GIF = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
SVG = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 3 2'%3E%3C/svg%3E"
BLURRED = "data:image/jpeg;base64," + base64.b64encode(os.urandom(900)).decode()


def pairs(html: str) -> list[dict[str, Any]]:
    return image_pairs(html, PAGE)


def found(html: str) -> dict[str, str]:
    """The URL of each text."""
    return {pair["text"]: pair["image"].get("url", "inline") for pair in pairs(html)}


PAGES = {
    "lazysizes": f'<img data-src="/i/mug.jpg" class="lazyload" src="{GIF}" alt="A mug">',
    "lazysizes srcset": """<img class="lazyload" src="/i/mug-20.jpg" data-sizes="auto" alt="A mug"
        data-srcset="/i/mug-300.jpg 300w, /i/mug.jpg 900w, /i/mug-600.jpg 600w">""",
    "lazysizes picture": f"""<picture><source data-srcset="/i/mug.jpg 900w" type="image/webp">
        <img data-src="/i/mug-s.jpg" src="{GIF}" class="lazyload" alt="A mug"></picture>""",
    "vanilla-lazyload": '<img alt="A mug" class="lazy" data-src="/i/mug.jpg" data-ll-status="x">',
    "lozad": '<img class="lozad" data-src="/i/mug.jpg" data-placeholder="/p.jpg" alt="A mug">',
    "lozad picture": """<picture class="lozad" data-iesrc="/i/mug-small.jpg" data-alt="A mug">
        <source srcset="/i/mug.jpg 800w" media="(min-width: 80em)"></picture>""",
    "amazon": f"""<img alt="A mug" src="{GIF}" data-old-hires="" data-a-dynamic-image='{{
        "/i/mug.SX300.jpg": [300, 200], "/i/mug.jpg": [900, 600], "/i/mug.SX450.jpg":[450, 300]}}'
        >""",
    "amazon with a small one": """<img alt="A mug" data-a-dynamic-image="{&quot;https://example.org
        /i/mug.jpg&quot;:[900,600]}" src="/i/mug.SX300.jpg">""".replace("\n        ", ""),
    "json of widths": """<img alt="A mug" data-map='{"/i/mug-s.jpg": 300, "/i/mug.jpg": "900w",
        "/i/mug-m.jpg": {"width": 600}}'>""",
    "json by width": """<img alt="A mug" src="/i/9.jpg" data-by='{"300": "/i/mug-300.jpg",
        "1200": "/i/mug.jpg#1200"}'>""",
    "json srcset": """<img alt="A mug" data-srcset='["/i/mug-300.jpg 300w", "/i/mug.jpg 900w"]'>""",
    "json srcset of objects": """<img alt="A mug" src="/i/mug-300x200.jpg" data-srcset='[
        {"src": "/i/mug-300x200.jpg", "width": 300}, {"src": "/i/mug.jpg", "width": 900}]'>""",
    "json list": """<img data-images='["/i/mug.jpg", "/i/b.jpg"]' alt="A mug">""",
    "json list behind entities": """<img alt="A mug"
        data-images="[&amp;quot;/i/mug.jpg&amp;quot;]">""",
    "json list of scripts": """<img alt="A mug" data-images="['/i/mug.jpg', '/i/b.jpg']">""",
    "json with a name": """<img data-src='{"large": "/i/mug.jpg", "thumb": "/i/mug-s.jpg"}'
        alt="A mug">""",
    "json of other images": """<img data-gallery='["/i/b.jpg", "/i/c.jpg"]' src="/i/mug.jpg"
        data-colours='[{"src": "/i/red.jpg", "width": 2000}]' alt="A mug">""",
    "json of links too": """<img alt="A mug" data-image='{"link": "/p/7.jpg", "page": "/i/p.jpg",
        "imageUrl": "/i/mug.jpg"}'>""",
    "gatsby, two sizes": """<picture>
        <source type="image/webp" data-srcset="/i/mug-s.jpg 400w,/i/mug.jpg 1600w">
        <img data-main-image data-src="/i/mug-m.jpg" data-srcset="/i/mug-m.jpg 400w" alt="A mug">
        </picture>""",
    "names and keys of files": """<img data-src="/i/mug.jpg" data-image-key="a/Mug.jpg"
        data-image-name="Mug.jpg" data-image-hash="ab/cd.jpg" data-image-slug="mug.png"
        alt="A mug">""",
    "rendered noscript": f"""<div><img class="lazy" src="{GIF}" alt="A mug"><noscript>&lt;img
        src="/i/mug.jpg" alt="A mug"&gt;</noscript></div>""",
    "image-set of strings": """<div role="img" aria-label="A mug" style='background-image:
        -webkit-image-set("/i/mug.jpg" 1x, "/i/mug-2.jpg" type("image/jpeg") 2x)'></div>""",
    "json-ld with a comma too many": """<script type="application/ld+json">{"@type": "Product",
        "name": "A mug", "image": ["/i/mug.jpg",],}</script>""",
    "open graph with the text first": """<meta property="og:image:alt" content="A mug">
        <meta property="og:image" content="/i/mug.jpg">""",
    "open graph with the secure address alone": """<meta property="og:image:alt" content="A mug">
        <meta property="og:image:secure_url" content="/i/mug.jpg">""",
    "open graph and twitter in one": """<meta property="og:image twitter:image"
        content="/i/mug.jpg"><meta property="og:image:alt" content="A mug">""",
    "open graph with values": """<meta property="og:image" value="/i/mug.jpg">
        <meta property="og:image:alt" value="A mug">""",
    "json-ld in a comment for old browsers": """<script type="application/ld+json">/*<![CDATA[*/
        {"@type": "Product", "name": "A mug", "image": "/i/mug.jpg"}/*]]>*/</script>""",
    "json-ld behind a line of comment": """<script type="application/ld+json">// by a [plugin]
        {"@type": "Product", "name": "A mug", "image": "/i/mug.jpg"}</script>""",
    "json-ld of two values": """<script type="application/ld+json">{"@type": "WebSite",
        "name": "Shop"}
        {"@type": "Product", "name": "A mug", "image": "/i/mug.jpg"}</script>""",
    "native": '<img src="/i/mug.jpg" loading="lazy" decoding="async" alt="A mug">',
    "jquery": '<img class="lazy" src="img/grey.gif" data-original="/i/mug.jpg" alt="A mug">',
    "unknown name": '<img src="/s/x.png" data-zq7-later="/i/mug.jpg" alt="A mug">',
    "discuz": '<img src="static/image/common/none.gif" file="/i/mug.jpg" alt="A mug">',
    "layui": '<img lay-src="/i/mug.jpg" src="/loading.png" alt="A mug">',
    "quoted": '<img data-src="https%3A%2F%2Fexample.org%2Fi%2Fmug.jpg" alt="A mug">',
    "echo": '<img src="img/blank.gif" data-echo="/i/mug.jpg" alt="A mug">',
    "unveil": '<img src="bg.png" data-src="/i/mug.jpg" data-src-retina="/i/mug.jpg" alt="A mug">',
    "cloudflare mirage": """<img data-cfsrc="/i/mug.jpg" alt="A mug" style="display:none">
        <noscript><img src="/i/mug.jpg" alt="A mug"></noscript>""",
    "pagespeed": """<img data-pagespeed-lazy-src="/i/mug.jpg" alt="A mug"
        src="/pagespeed_static/1.JiBnMqyl6S.gif" onload="pagespeed.lazy.load()">""",
    "wordpress": """<figure class="wp-block-image"><img decoding="async" width="1024" height="683"
        src="/i/mug-1024x683.jpg" alt="A mug" class="wp-image-7" sizes="(max-width: 9px) 100vw, 9px"
        srcset="/i/mug-300x200.jpg 300w, /i/mug.jpg 2048w, /i/mug-768x512.jpg 768w"></figure>""",
    "jetpack lazy": f"""<img src="{GIF}" data-lazy-src="/i/mug.jpg" srcset="{GIF}" alt="A mug"
        data-lazy-srcset="/i/mug-1.jpg 100w"><noscript><img src="/i/mug.jpg" alt="A mug">
        </noscript>""".replace("/i/mug-1.jpg 100w", "/i/mug.jpg 900w"),
    "jetpack carousel": """<a href="https://example.org/mug/"><img src="/i/mug.jpg?w=300"
        data-attachment-id="7" data-permalink="https://example.org/mug/" data-orig-size="9,9"
        data-orig-file="/i/mug-o.jpg" data-image-meta='{"camera":"Canon"}'
        data-image-title="mug.jpg"
        data-medium-file="/i/mug-m.jpg" data-large-file="/i/mug.jpg" alt="A mug"></a>""",
    "smush": f"""<img data-src="/i/mug.jpg" alt="A mug" src="{SVG}" class="lazyload"
        style="--smush-placeholder-width: 300px; --smush-placeholder-aspect-ratio: 3/2;">""",
    "a3": """<img class="lazy lazy-hidden" src="//example.org/a3/lazy_placeholder.gif" alt="A mug"
        data-lazy-type="image" data-src="/i/mug.jpg"><noscript><img src="/i/mug.jpg" alt="A mug">
        </noscript>""",
    "noscript without alt": """<p><img class="lazy" src="/i/w.png" alt="A mug"><noscript>
        <img src="/i/mug.jpg"></noscript></p>""",
    "magento": """<span class="product-image-wrapper"><img class="product-image-photo" alt="A mug"
        src="/static/Magento_Catalog/images/product/placeholder/image.jpg" data-amsrc="/i/mug.jpg">
        </span><div data-mage-init='{"gallery":{"full":"/i/other.jpg"}}'></div>""",
    "woocommerce": """<div data-thumb="/i/mug-100x100.jpg" class="product-gallery__image">
        <a href="/i/mug.jpg"><img src="/i/mug-600x400.jpg" data-large_image_width="1200"
        data-src="/i/mug-600x400.jpg" title="mug.jpg" alt="A mug"></a></div>""",
    "next": f"""<span><img alt="A mug" src="{GIF}" decoding="async" data-nimg="fixed"><noscript>
        <img alt="A mug" src="/i/mug.jpg" loading="lazy"></noscript></span>""",
    "gatsby": f"""<div class="gatsby-image-wrapper"><img aria-hidden="true" src="{BLURRED}" alt="">
        <picture><source data-srcset="/i/mug.jpg 800w"><img data-main-image="" alt="A mug"
        data-src="/i/s/mug.jpg"></picture><noscript><picture><source srcset="/i/mug.jpg 800w">
        <img src="/i/s/mug.jpg" alt="A mug"></picture></noscript></div>""",
    "wix": """<wow-image id="i7" data-image-info='{"imageData":{"uri":"7~mv2.jpg","alt":"x"}}'
        data-has-bg-scroll-effect=""><img src="/i/mug.jpg" alt="A mug" fetchpriority="high">
        </wow-image>""",
    "squarespace": """<img class="thumb-image" alt="A mug" data-src="/i/mug.jpg" data-load="false"
        data-image="/i/mug.jpg" data-image-dimensions="2500x1667" data-type="image"
        data-image-focal-point="0.5,0.5"><noscript><img src="/i/mug.jpg" alt="A mug"></noscript>""",
    "amp": f"""<amp-img src="/i/mug.jpg" alt="A mug" width="900" height="600" layout="responsive">
        <amp-img placeholder src="{BLURRED}" layout="fill" alt="loading"></amp-img>
        <noscript><img src="/i/mug.jpg" alt="A mug"></noscript></amp-img>""",
    "amp fallback": """<amp-img src="/i/mug.jpg" alt="A mug"><amp-img fallback alt="A mug"
        src="/i/mug-old.png"></amp-img></amp-img>""",
    "angular": """<img [src]="hero.image.jpg" [attr.data-x]="'/i/o.jpg' | async" ngSrc="/i/mug.jpg"
        alt="A mug">""",
    "angularjs": '<img ng-src="/i/mug.jpg" src="/i/spinner.svg" alt="A mug">',
    "vue": """<img v-lazy="'/i/mug.jpg'" :key="p.id.jpg" alt="A mug">""",
    "vue rendered": '<img data-src="/i/mug.jpg" src="/img/spin.png" lazy="loading" alt="A mug">',
    "drupal": f"""<img data-src="/i/mug.jpg" class="b-lazy" src="{GIF}" typeof="foaf:Image"
        alt="A mug" data-animation="blur">""",
    "mediawiki": """<figure typeof="mw:File/Thumb"><a href="/wiki/File:Mug.jpg"><img alt="A mug"
        src="/i/220px-mug.jpg" srcset="/i/330px-mug.jpg 1.5x, /i/mug.jpg 2x"
        resource="./File:Mug.jpg" data-file-width="3000"></a></figure>""",
    "mediawiki mobile": """<noscript><img alt="A mug" src="/i/mug.jpg"></noscript>
        <span class="lazy-image-placeholder" style="width: 220px;height: 146px;" data-alt="A mug"
        data-src="/i/mug.jpg" data-width="220">&nbsp;</span>""",
    "flickr": """<img src="//example.org/i/mug.jpg" class="main-photo" alt="A mug"
        onerror="this.src='/i/gone.jpg'">""",
    "tumblr": """<img src="/s640x960/mug.jpg" data-highres="/i/mug.jpg" alt="A mug">""",
    "pinterest": """<img src="/i/mug.jpg" alt="A mug" data-pin-url="/pin/7"
        data-pin-media="/pins/collage.jpg" data-test='{"images":{"orig":{"url":"/i/o.jpg"}}}'>""",
    "nuxt": """<nuxt-img alt="A mug" src="/i/mug.jpg" width="800"></nuxt-img>""",
    "hover image": '<img src="/i/mug.jpg" data-hover-src="/i/back.jpg" alt="A mug">',
    "fallback": '<img src="/i/mug.jpg" data-fallback="/i/gone.jpg" alt="A mug">',
    "link to the original": '<a href="/i/mug.jpg"><img src="/t/9.jpg" alt="A mug"></a>',
    "small thumbnail": '<a href="/i/mug.jpg"><img width=48 src="/t/9.jpg" alt="A mug"></a>',
    "button to share": """<a href="//social.example/pin?media=/i/x.jpg"><img src="/i/mug.jpg"
        alt="A mug"></a>""",
    "layers": """<div role="IMAGE" aria-label="A mug" style="background-image:
        linear-gradient(red, blue), url(/i/mug.jpg), url(/i/paper.jpg)"></div>""",
    "nested figures": """<figure><img src="/i/mug.jpg"><figure><figcaption>Other</figcaption>
        </figure><figcaption>A mug</figcaption></figure>""",
    "link to a file page": '<a href="/wiki/Datei:Tasse.jpg"><img src="/i/mug.jpg" alt="A mug"></a>',
    "picture": """<picture><source type="image/jxl" srcset="/i/mug.jxl 900w"><source
        srcset="/i/mug.jpg 800w" type="image/webp"><img src="/i/mug-s.jpg" alt="A mug">
        </picture>""",
    "background": """<div role="img" aria-label="A mug" class="tile" style="color:red;
        background: #eee url( '/i/mug.jpg' ) no-repeat"></div>""",
    "background in a variable": """<div role="img" aria-label="A mug" class="hero"
        style="--photo: url('/i/mug.jpg')"></div>""",
    "background in a variable, shown": """<div role="img" aria-label="A mug" style="--mask:
        url(/m.png); --bg:url(/i/mug.jpg);background-image:var(--bg)"></div>""",
    "background behind bytes": f"""<div role="img" aria-label="A mug"
        style="background-image:url(/i/mug.jpg);--x:url({SVG})"></div>""",
    "hi-res-src": """<img data-src="/i/mug-750.jpg" src="" alt="A mug"
        data-hi-res-src="/i/mug.jpg">""",
    "lazy background": '<div role="img" aria-label="A mug" data-bg="/i/mug.jpg"></div>',
    "wp rocket background": """<div role="img" aria-label="A mug"
        data-bg="url('/i/mug.jpg')"></div>""",
    "preview beside": f"""<img alt="A mug" src="{BLURRED}"><img alt="A mug" src="/i/mug.jpg">""",
    "badge": '<img src="/i/mug.jpg" data-badge="/i/sale.png" alt="A mug">',
    "labelled group": """<span role="img" aria-label="A mug"><img src="/i/mug.jpg" alt="">
        </span>""",
    "object": '<object data="/i/mug.jpg" type="image/jpeg">A mug</object>',
    "object with img": """<object data="/i/mug.tiff" type="image/tiff"><img src="/i/mug.jpg"
        alt="A mug"></object>""",
    "lightgallery": """<ul><li data-src="/i/mug.jpg" data-thumb="/t/a.jpg"><img src="/t/a.jpg"
        alt="A mug"></li></ul>""",
    "fancybox": """<a data-src="/i/mug.jpg" href="javascript:;"><span><img src="/t/a.jpg"
        alt="A mug"></span></a>""",
    "lazy item": """<div data-image="/i/mug.jpg" data-bg="/bg.jpg"><img src="spinner.gif"
        alt="A mug"></div>""",
    "parallax": """<section data-bg="/b.jpg" style="background:url(/c.jpg)"><img src="/i/mug.jpg"
        alt="A mug"></section>""",
    "figure": """<figure><img src="/i/mug.jpg"><figcaption>A mug</figcaption></figure>""",
    "twitter": """<meta name="twitter:card" content="photo"><meta name="twitter:image:alt"
        content="no image yet"><meta name="twitter:image" content="/i/mug.jpg">
        <meta name="twitter:image:alt" content="A mug">""",
    "open graph": """<meta property="og:image" content="http://example.org/i/mug.jpg"/>
        <meta property="og:image:secure_url" content="https://example.org/i/mug.jpg"/>
        <meta property="og:image:alt" content="A mug"/>""".replace("http://", "https://"),
}


@pytest.mark.parametrize("html", PAGES.values(), ids=PAGES)
def test_the_image_and_its_text_are_found_and_nothing_else(html: str) -> None:
    assert found(html) == {"A mug": MUG}


JSON_LD = {
    "image object": '{"@type": "ImageObject", "contentUrl": "/i/mug.jpg", "caption": "A mug"}',
    "graph": """{"@context": "https://schema.org", "@graph": [{"@type": "WebPage", "name": "Shop",
        "primaryImageOfPage": {"@id": "#p"}}, {"@type": ["ImageObject"], "@id": "#p",
        "url": "/i/mug.jpg", "contentUrl": "/i/mug.jpg", "width": 900, "caption": "A mug"},
        {"@type": "Organization", "name": "Shop", "logo": {"@type": "ImageObject",
        "caption": "Shop", "url": "/i/brand.png"}, "image": {"@id": "#logo"}}]}""",
    "product": '{"@type": "Product", "name": "A mug", "image": ["/i/mug.jpg"]}',
    "recipe": """[{"@type": "Recipe", "name": "A mug", "author": {"@type": "Person", "name": "Anna",
        "image": "/i/anna.jpg"}, "image": {"@type": "ImageObject", "url": "/i/mug.jpg",
        "width": {"@type": "QuantitativeValue", "value": 800}}}]""",
    "thumbnail": """{"@type": "ImageObject", "thumbnailUrl": "/i/t/mug.jpg", "description": "A mug",
        "thumbnail": {"@type": "ImageObject", "url": "/i/t2/mug.jpg", "name": "t"},
        "contentUrl": "/i/mug.jpg"}""",
    "page about the image": """{"@type": "http://schema.org/ImageObject", "url": "/photos/7",
        "contentUrl": "/i/mug.jpg", "name": "A mug"}""",
    "comment": """//<![CDATA[
        {"@type": "ImageObject", "contentUrl": "\\/i\\/mug.jpg", "caption": "A&nbsp;mug\t"}
        //]]>""",
    "byte order mark": '\ufeff{"@type": "Product", "name": "A mug", "image": "/i/mug.jpg"}',
    "semicolon": '{"@type": "ImageObject", "contentUrl": "/i/mug.jpg", "caption": "A mug"};',
    "id": '{"@graph": [{"@type": "ImageObject", "@id": "/i/mug.jpg", "caption": "A mug"}]}',
    "reference": """{"@graph": [{"@type": "ImageObject", "@id": "#p", "url": "/i/mug.jpg"},
        {"@type": "Article", "headline": "A mug", "image": {"@id": "#p"}}]}""",
    "reference before it": """[{"@type": "WebPage", "name": "A mug",
        "primaryImageOfPage": {"@id": "https://example.org/#p"}},
        {"@type": "ImageObject", "@id": "https://example.org/#p", "contentUrl": "/i/mug.jpg"}]""",
    "prefixes": """{"@type": "schema:ImageObject", "schema:contentUrl": "/i/mug.jpg",
        "schema:caption": {"@value": "A mug"}}""",
    "addresses of properties": """{"@type": "http://schema.org/ImageObject",
        "http://schema.org/contentUrl": {"@id": "/i/mug.jpg"},
        "http://schema.org/name": "A mug"}""",
    "spelling": '{"@type": "imageobject", "contentURL": "/i/mug.jpg", "Caption": "A mug"}',
    "value objects": """{"@type": "ImageObject", "contentUrl": {"@id": "/i/mug.jpg"},
        "caption": {"@value": "A mug", "@language": "en"}}""",
}


@pytest.mark.parametrize("text", JSON_LD.values(), ids=JSON_LD)
def test_json_ld_gives_its_images(text: str) -> None:
    assert found(f'<script type="application/ld+json">{text}</script>') == {"A mug": MUG}


NO_IMAGE = {
    "spinner": '<img src="/img/ajax-loader.gif" alt="A mug">',
    "spacer": '<img src="spacer.gif" alt="A mug">',
    "1x1": '<img src="/t/1x1.png" alt="A mug">',
    "placeholder service": '<img src="https://via.placeholder.com/600x400" alt="A mug">',
    "missing photo": '<img src="/img/no-image-available.jpg" alt="A mug">',
    "mustache": '<img src="{{ product.image }}" data-src="/p/{{id}}.jpg" alt="A mug">',
    "quoted template": '<img src="/p/%7B%7Bid%7D%7D.jpg" alt="A mug">',
    "erb": '<img src="<%= image_url %>" alt="A mug">',
    "es6": '<img data-src="${img.src}.jpg" alt="A mug">',
    "width without widths": '<img data-src="/i/mug_{width}x.jpg" alt="A mug">',
    "json": """<img data-product='{"id": 7, "url": "/p/7", "name": "mug.jpg"}' alt="A mug">""",
    "json about others": """<img data-config='{"logo": "/i/logo.jpg", "hoverImage": "/i/b.jpg"}'
        data-related='["/i/c.jpg"]' alt="A mug">""",
    "json of templates": """<img data-images='["{{ img.src }}", "/p/${id}.jpg"]' alt="A mug">""",
    "json cut short": """<img data-images='["/i/mug.jpg", "/i/b' alt="A mug">""",
    "json of a film": """<img data-media='{"/m.mp4": [900, 600], "/m.json": 1}' alt="A mug">""",
    "list": '<img data-images="/i/mug.jpg,/i/b.jpg" alt="A mug">',
    "property": '<img :src="item.jpg" v-lazy="item.image.jpg" alt="A mug">',
    "undefined": '<img src="undefined" data-src="[object Object]" alt="A mug">',
    "page": f'<img src="{PAGE}" alt="A mug">',
    "home page": '<img src="/" alt="A mug">',
    "file name": '<img data-filename="mug.jpg" title="mug.jpg" alt="A mug">',
    "page about it": '<img data-permalink="/mug.jpg" data-link="/i/mug.jpg" alt="A mug">',
    "blurred preview": f'<img src="{BLURRED}" data-src="{{{{ x }}}}" alt="">',
    "emoji": '<img class="emoji" src="/72x72/1f600.png" alt="😀">',
    "icon": '<img class="menu-icon" src="/i/cart.png" alt="Cart">',
    "icon file": '<img src="/icons/cart.png" alt="Cart"><img src="/favicon.ico" alt="Home">',
    "counter": '<noscript><img height="1" width="1" src="//t.example/tr?id=7" alt="x"></noscript>',
    "counter beside": """<p><img src="/b.gif" alt="A mug"><noscript><img height="1" width="1"
        src="//t.example/tr?id=7"></noscript></p>""",
    "counter without size": '<img src="https://px.example/pixel?id=7" alt="counter">',
    "icon that links": '<a href="/i/mug.jpg"><img src="/z.png" width=16 alt="Zoom"></a>',
    "icon in an item": '<li data-src="/i/mug.jpg"><img src="/z.gif" width=16 alt="Zoom"></li>',
    "item of two": '<li data-src="/i/mug.jpg"><img alt="A mug"><img alt="A cup"></li>',
    "template element": '<template><img src="/i/mug.jpg" alt="A mug"></template>',
    "names of templates": """<img src=":img" alt="A mug"><img src="%%image%%" alt="A cup">
        <img src="@Model.Image" alt="A jug"><img src="[[+img]]" alt="A pot">
        <img src="#{img}" alt="A pan"><img src="__IMG__" alt="A bowl">
        <img src="*|IMG|*" alt="A dish"><img src="$x$" alt="A can">""",
    "flash": '<object data="/m.swf" type="application/x-shockwave-flash">A mug</object>',
    "pdf": '<object data="/m.pdf">A mug</object>',
    "rating": """<span role="img" aria-label="4 of 5 stars"><img src="/st1.jpg" alt=""><img
        src="/st2.jpg" alt=""></span>""",
    "label without image": '<i role="img" aria-label="Search" class="fa fa-search"></i>',
    "broken json-ld": '<script type="application/ld+json">{"@type": "ImageObject",}</script>',
    "decoration": '<div style="background:url(/i/mug.jpg)" aria-label="A mug"></div>',
}


@pytest.mark.parametrize("html", NO_IMAGE.values(), ids=NO_IMAGE)
def test_what_is_no_image_gives_no_pair(html: str) -> None:
    assert pairs(html) == []


SOUND = (
    "wheel-loader.jpg white-mug.jpg loading-dock.jpg pixel-art.png clear-lake.jpg mug-16x9.jpg "
    "fidget-spinner.jpg byzantine-icon.jpg no-photography-sign.jpg volcano-image.jpg pixel.jpg "
    "blank-canvas.jpg {3F2504E0-4F89-11D3-9A0C-0305E82C3301}/mug.jpg 100%25cotton%20shirt.jpg "
    "100%cotton%20shirt.jpg get.php?f=mug /media/abc.jpg:large w_9,h_9/mug mug mug.JPG?x=null"
)


@pytest.mark.parametrize("address", SOUND.split())
def test_sound_images_with_odd_names_are_kept(address: str) -> None:
    assert len(pairs(f'<img src="{address}" alt="A mug">')) == 1


@pytest.mark.parametrize("attribute", ["data-src", "data-zq7", "data-pic", "real", "loadlater"])
@pytest.mark.parametrize("spinner", ["/s/loading-spin.gif", "/s/b7.png", GIF, BLURRED, SVG])
def test_twelve_products_behind_one_spinner_give_twelve_pairs(attribute: str, spinner: str) -> None:
    html = "".join(
        f'<li><a href="/p/{n}"><img src="{spinner}" {attribute}="/p/{n}.jpg" alt="Mug {n}"></a>'
        for n in range(12)
    )

    assert found(html) == {f"Mug {n}": f"https://example.org/p/{n}.jpg" for n in range(12)}


CDN = (
    "https://images.example/p/{}?v=9 //cdn.example/p/{} https://x.example/p/{}?w=900 "
    "/media/w_300,h_200/{} //x.example/p/{}?fm=webp&q=70"
)


@pytest.mark.parametrize("address", CDN.split())
def test_addresses_of_image_servers_need_no_file_extension(address: str) -> None:
    html = "".join(
        f'<img src="/s/b7.png" data-zq7="{address.format(n)}" alt="Mug {n}">' for n in range(3)
    )

    assert [f"/{n}" in url for n, url in enumerate(found(html).values())] == [True] * 3


@pytest.mark.parametrize(
    "texts", ['<img src="{0}" alt="Mug {1}">', '<p><img src="{0}">Mug {1}</p>']
)
@pytest.mark.parametrize("spinner", ["/s/b7.png", BLURRED])
def test_a_spinner_under_many_texts_is_no_image(texts: str, spinner: str) -> None:
    html = "".join(f"<div>{texts.format(spinner, word)}</div>" for word in ("one", "two", "three"))

    assert pairs(html) == []


def test_what_a_script_replaces_once_is_a_placeholder_everywhere() -> None:
    html = '<img src="/s/b7.png" data-x="/p/1.jpg" alt="one"><img src="/s/b7.png" alt="two">'

    assert found(html) == {"one": "https://example.org/p/1.jpg"}


def test_what_many_images_name_aside_replaces_none_of_them() -> None:
    html = "".join(
        f'<img src="/p/{word}.jpg" data-zq7="/seal.png" alt="Mug {word}">'
        for word in ("one", "two", "three")
    )

    assert found(html) == {
        f"Mug {word}": f"https://example.org/p/{word}.jpg" for word in ("one", "two", "three")
    }


def test_thumbnails_that_list_the_whole_gallery_are_kept() -> None:
    words = ("one", "two", "three", "four")
    listed = ", ".join(f'"/p/{word}.jpg"' for word in words)
    html = "".join(
        f"""<img src="/p/{word}.jpg" data-images='[{listed}]' alt="Mug {word}">""" for word in words
    )

    assert found(html) == {f"Mug {word}": f"https://example.org/p/{word}.jpg" for word in words}
    assert not any("alternatives" in pair["image"] for pair in pairs(html))


def test_a_list_stands_behind_a_spinner() -> None:
    html = "".join(
        f"""<img src="/s/b7.png" data-images='["/p/{n}.jpg", "/p/{n}-b.jpg"]' alt="Mug {n}">"""
        for n in range(4)
    )

    assert found(html) == {f"Mug {n}": f"https://example.org/p/{n}.jpg" for n in range(4)}


def test_an_image_with_two_texts_has_the_first() -> None:
    html = '<img src="/i/mug.jpg" alt="A mug"><img src="/i/mug.jpg" alt="Our mug">'

    assert found(html) == {"A mug": MUG}


def test_products_in_a_row_get_their_own_copies_from_noscript() -> None:
    html = "".join(
        f'<img class=lazy src="/s/b7.png" alt="Mug {word}">'
        f'<noscript><img src="/p/{word}.jpg" alt="Mug {word}"></noscript>'
        for word in ("one", "two", "three")
    )

    assert found(html) == {
        f"Mug {word}": f"https://example.org/p/{word}.jpg" for word in ("one", "two", "three")
    }


def test_an_address_may_hold_stars_and_bars() -> None:
    address = "/cabinet/mug.jpg?fitin=560:560&composite-to=*,*|560:560"

    assert list(found(f'<img src="{address}" alt="A mug">')) == ["A mug"]
    assert found('<img src="*|IMAGE_URL|*" alt="A mug">') == {}


def test_the_bytes_of_a_background_are_taken() -> None:
    style = f"color:red;background:url({BLURRED}) center"

    assert found(f'<p role=img aria-label="A mug" style="{style}">') == {"A mug": "inline"}


def test_the_documents_tell_the_size_of_the_sample() -> None:
    text = (Path(__file__).parents[3] / "docs" / "crawlers.md").read_text(encoding="utf-8")

    assert f"sample is {len(PAGES) + len(JSON_LD)} pages" in text
    assert f"{len(NO_IMAGE)} pages without an image give none" in text
