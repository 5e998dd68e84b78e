"""Noisy alt texts: true descriptions of a scene, with the noise that web pages add."""

from __future__ import annotations

import html
import itertools
import random
import re
from collections.abc import Iterator

from kaption.workers.demo.scenes import Aspect, Scene, describe, describe_object

# Written independently of the table that repairs typos, so that the demo tests that table.
_TYPOS = {
    "small": ("samll", "smalll"),
    "large": ("lagre", "lareg"),
    "striped": ("stiped", "stirped"),
    "dotted": ("dottted", "dotetd"),
    "checkered": ("checkerd", "chekered"),
    "glossy": ("glosy", "glossey"),
    "plain": ("plian",),
    "yellow": ("yelow", "yelllow"),
    "purple": ("purpel", "pruple"),
    "orange": ("ornage", "oragne"),
    "brown": ("borwn", "brwon"),
    "black": ("blakc", "balck"),
    "white": ("whtie", "wihte"),
    "pink": ("pnik",),
    "circle": ("circel", "cirlce"),
    "square": ("squre", "sqaure"),
    "triangle": ("trianlge", "traingle"),
    "crescent": ("cresent", "crescant"),
    "heart": ("haert",),
    "table": ("talbe",),
    "wooden": ("woden", "woodden"),
    "snow": ("snwo", "sonw"),
    "night": ("nihgt", "nigth"),
    "cloudy": ("cluody", "clody"),
    "under": ("undr", "udner"),
    "beach": ("baech", "beahc"),
    "brick": ("brcik", "birck"),
    "forest": ("froest",),
    "road": ("raod",),
    "and": ("adn",),
    "the": ("teh", "hte"),
}
_BOILERPLATE = (
    "{} | My Little Shop",
    "{} - Stock Photo",
    "{}, click to enlarge",
    "Image may contain: {}",
    "{} (buy now)",
    "{}. Photo by Jane Doe",
    "{} | free shipping | bestshapes.shop",
)
_FILE_NAMES = (
    *("IMG_{n}.JPG", "DSC{n:05}", "screenshot 2024-03-{d:02} at 10.{d:02}.01", "image{n}.png"),
    *("untitled-{d}", "{n:030x}a1", "P10{n:05}.jpg", "photo ({d}).webp", "202403{d:02}_{n:06}"),
)


def slang(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """(noisy, cleaned): a text with two or three typos, and in half of them slang."""
    plain = describe(scene)
    known = [word for word in dict.fromkeys(re.findall(r"\w+", plain)) if word in _TYPOS]
    noisy = plain
    for word in rng.sample(known, min(len(known), rng.randint(2, 3))):
        noisy = re.sub(rf"\b{word}\b", rng.choice(_TYPOS[word]), noisy)
    if rng.random() < 0.5:
        return f"pic of {noisy} lol", f"picture of {plain}"
    return noisy, plain


def markup(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """(noisy, cleaned): a text with HTML, mojibake, a URL or control characters."""
    plain = describe(scene)
    words = plain.split()
    at = rng.randrange(len(words))
    bold = " ".join([*words[:at], f"<b>{words[at]}</b>", *words[at + 1 :]])
    dashed = f"{describe(scene, 'appearance')} — {scene.context}"
    return rng.choice(
        [
            (f'<p class="caption">{bold}</p>', plain),
            (f"<div>{bold}<br/></div><script>track('{words[-1]}')</script>", plain),
            (html.escape(html.escape(f"<i>{plain}</i>")), plain),
            (plain.replace(" ", "&nbsp;"), plain),
            (dashed.encode().decode("cp1252"), dashed),
            (f"{plain} https://img.example.com/p?id={at}&size=large", plain),
            ("\u202a" + plain.replace(" ", " \u200b") + "\u202c\x07", plain),
        ]
    )


def boilerplate(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """(noisy, cleaned): a text with a page's boilerplate around it."""
    plain = describe(scene)
    found = rng.choice(_BOILERPLATE)
    return found.format(plain), f"{plain}." if "Photo by" in found else plain


def file_name(rng: random.Random) -> str:
    """A file name that cameras, phones and servers give."""
    return rng.choice(_FILE_NAMES).format(n=rng.randint(100, 9999), d=rng.randint(1, 28))


_LEADS = (
    *("there is", "here you see", "a photo of", "a picture of", "an image of", "you can see"),
    *("this shows", "look at", "here is", "we see", "the photo shows", "one can see"),
    *("in the picture is", "notice"),
)


def long_text(scene: Scene, rng: random.Random) -> str:
    """True sentences of far more than 77 tokens.

    The most informative sentence is the last one, where a cut would lose it. The sentences begin
    differently, because the checks refuse a text that repeats itself.
    """
    leads = list(_LEADS)
    rng.shuffle(leads)
    aspects: Iterator[Aspect] = itertools.cycle(("appearance", "texture", "full"))
    things = itertools.cycle(scene.objects)
    text = [
        f"{lead} {describe_object(thing, aspect)}."
        for lead, thing, aspect in zip(leads, things, aspects, strict=False)
    ]
    return " ".join([*text, f"everything is {scene.context}.", f"{describe(scene)}."])
