"""A noisy crawl, rendered from a seed. The truth of every pair is known."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from PIL.Image import Image

from kaption.schemas import ImageSource, OptOutSignal, RawPair
from kaption.workers.decode.hashes import dhash
from kaption.workers.demo import images, noise
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import Scene, describe, random_scene, wrong
from kaption.workers.demo.site import SILENT_S, SLOW_S, Page
from kaption.workers.demo.truth import COPIES, Noise, Truth

_APART = 16
"""Smallest dHash distance between distinct images: a scene that is closer to another one is drawn
again. Rendered scenes share twelve backgrounds, so some would look like copies of others."""
_SIDES = (320, 400, 480, 640)
_RATIOS = (1.0, 4 / 3, 3 / 4, 3 / 2)
_INLINE_EVERY = 5
_NOISES = {
    Noise.SLANG: noise.slang,
    Noise.MARKUP: noise.markup,
    Noise.BOILERPLATE: noise.boilerplate,
}
_HTML = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"


@dataclass(frozen=True, slots=True)
class _Found:
    """A pair without the site's address, which is known later."""

    truth: Truth
    page: Page | None
    inline: bool = False


class Crawl:
    """`count` pairs, rendered from `seed`. The same seed gives the same pairs, byte for byte.

    The constructor renders all pairs, which takes about 20 ms for each. With at least as many pairs
    as there are kinds, every kind is among them.
    """

    def __init__(self, seed: int, count: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311  # repeatable, protects nothing
        self._hashes: list[int] = []
        self._originals: list[tuple[int, Scene, Image]] = []
        self._found: list[_Found] = []
        for kind in self._kinds(count):
            self._found.append(self._make(kind, f"demo-{len(self._found):05}"))

    @property
    def truths(self) -> tuple[Truth, ...]:
        """The truth of each pair, in the order of `records`."""
        return tuple(found.truth for found in self._found)

    @property
    def pages(self) -> Mapping[str, Page]:
        """The site's answers, by path."""
        return {_path(one.truth): one.page for one in self._found if one.page and not one.inline}

    def records(self, site: str) -> Iterator[RawPair]:
        """The pairs as a crawler finds them. `site` is the site's URL without a trailing slash."""
        for one in self._found:
            truth = one.truth
            if one.inline and one.page is not None:
                image = ImageSource(inline=one.page.body)
            else:
                image = ImageSource(url=site + _path(truth))
            signal = OptOutSignal(kind="robots_meta", value="noai")
            yield RawPair(
                pair_id=truth.pair_id,
                image=image,
                text=truth.alt_text,
                page_url=f"{site}/pages/{truth.pair_id}.html",
                source="demo",
                opt_out=(signal,) if truth.kind is Noise.OPTED_OUT else (),
            )

    def _kinds(self, count: int) -> list[Noise]:
        """The kinds in order: one of each, the rest by share.

        Each copy stands after a RIGHT pair of its own, whose image it copies.
        """
        rest = self._rng.choices(list(Noise), [kind.share for kind in Noise], k=count)
        drawn = [*Noise, Noise.RIGHT, *rest][:count]
        copies = [kind for kind in drawn if kind in COPIES]
        kinds = [kind for kind in drawn if kind not in COPIES]
        room = kinds.count(Noise.RIGHT)
        kinds += [Noise.RIGHT] * (len(copies) - room)
        self._rng.shuffle(kinds)
        for at, copy in enumerate(copies[:room]):
            rights = [index for index, kind in enumerate(kinds) if kind is Noise.RIGHT]
            kinds.insert(self._rng.randint(rights[at] + 1, len(kinds)), copy)
        return kinds

    def _make(self, kind: Noise, pair_id: str) -> _Found:
        if kind in COPIES:
            return self._copy(kind, pair_id)
        scene, image = self._draw()
        text, cleaned = self._text(kind, scene)
        if kind is Noise.RIGHT:
            self._originals.append((len(self._found), scene, image))
        return _Found(
            Truth(pair_id, kind, scene, text, cleaned),
            self._page(kind, image),
            inline=kind is Noise.RIGHT and len(self._originals) % _INLINE_EVERY == 0,
        )

    def _draw(self) -> tuple[Scene, Image]:
        """A scene whose image is at least `_APART` from all images before it."""
        while True:
            scene = random_scene(self._rng, self._rng.choice(_RATIOS))
            image = render(scene, self._rng.choice(_SIDES), self._rng)
            value = dhash(image.convert("L"))
            if all((value ^ h).bit_count() > _APART for h in self._hashes):
                self._hashes.append(value)
                return scene, image

    def _copy(self, kind: Noise, pair_id: str) -> _Found:
        """A copy of an earlier RIGHT pair's image. Each image is copied once at most."""
        at, scene, image = self._originals.pop(self._rng.randrange(len(self._originals)))
        first = self._found[at]
        group = first.truth.pair_id
        self._found[at] = replace(first, truth=replace(first.truth, group=group))
        page = first.page if kind is Noise.EXACT else _jpeg(images.copied(image, self._rng))
        text = describe(scene)
        return _Found(Truth(pair_id, kind, scene, text, text, group), page)

    def _text(self, kind: Noise, scene: Scene) -> tuple[str, str | None]:
        """(the alt text as found, the text that cleaning must make of it)."""
        if kind in _NOISES:
            return _NOISES[kind](scene, self._rng)
        if kind is Noise.FILE_NAME:
            return noise.file_name(self._rng), ""
        if kind is Noise.LONG:
            text = noise.long_text(scene, self._rng)
        elif kind is Noise.WRONG:
            text = describe(wrong(scene, self._rng))
        else:
            text = describe(scene)
        return text, text

    def _page(self, kind: Noise, image: Image) -> Page | None:
        if kind is Noise.MISSING:
            return None
        if kind is Noise.NOT_AN_IMAGE:
            return Page(_HTML, "image/jpeg")
        if kind is Noise.FORMAT:
            return Page(*images.unusual(image, self._rng))
        if kind is Noise.TINY:
            return Page(images.tiny(image, self._rng), "image/png")
        if kind is Noise.SINGLE_COLOUR:
            return Page(images.single_colour(self._rng), "image/png")
        if kind is Noise.CMYK:
            return _jpeg(images.cmyk(image))
        if kind is Noise.ROTATED:
            return _jpeg(images.rotated(image, self._rng))
        if kind is Noise.TRUNCATED:
            return _jpeg(images.truncated(image, self._rng))
        if kind is Noise.EXTREME:
            return _jpeg(images.extreme(image))
        delay = {Noise.SLOW: SLOW_S, Noise.SILENT: SILENT_S}.get(kind, 0.0)
        return _jpeg(images.encoded(image, quality=92), delay)


def _jpeg(body: bytes, delay_s: float = 0.0) -> Page:
    return Page(body, "image/jpeg", delay_s)


def _path(truth: Truth) -> str:
    return f"/images/{truth.pair_id}.jpg"
