"""Measures OCR: characters of rendered text cards that are read, and processor time.

The cards have the size of stored images. Text, size, font, place, colours and JPEG quality are
drawn from a seed. Nothing but spaces is forgiven.
"""

from __future__ import annotations

import random
import time
from functools import partial
from io import BytesIO
from pathlib import Path

import paperang_p2_fonts_cjk
from PIL import Image, ImageDraw, ImageFont

from bench.near_images import _FONTS, _WORDS
from kaption.workers.models.ocr import RapidOcr
from kaption.workers.text.lines import in_reading_order

_CHINESE = (
    *(
        "红色的花瓶放在木桌上",
        "欢迎光临",
        "全场八折优惠",
        "上海浦东国际机场",
        "请勿吸烟",
        "新鲜水果每天到店",
    ),
    *("中国人民银行", "小心地滑", "今日特价牛肉面", "春季新款女装", "免费停车两小时", "安全出口"),
)
_FONT = Path(paperang_p2_fonts_cjk.__file__).parent / "fonts" / "wqy-microhei.ttc"
_CARDS = 40


def latin(rng: random.Random) -> str:
    """Two to five words, in one of three cases."""
    words = " ".join(rng.choices(_WORDS, k=rng.randint(2, 5)))
    return rng.choice([words, words.title(), words.upper()])


def digits(rng: random.Random) -> str:
    """A price, a date, a time, a telephone number or a percentage."""
    n = partial(rng.randint, 10)
    date, telephone = f"20{n(29)}-{n(12)}-{n(28)}", f"+{n(99)} {n(99)} {n(9999)} {n(999)}"
    price, share = f"{n(99)}.{n(99)} EUR", f"{n(99)} %"
    return rng.choice([price, date, f"{n(23)}:{n(59)}", telephone, share, f"No. {n(99_999)}"])


def chinese(rng: random.Random) -> str:
    """A line of a shop, a sign or a picture."""
    return rng.choice(_CHINESE)


SCRIPTS = {"Latin": latin, "digits": digits, "Chinese": chinese}


def card(rng: random.Random, script: str) -> tuple[Image.Image, list[str]]:
    """An image of 512 x 384 pixels with up to four lines of 14 to 44 pixels, and its lines."""
    dark, light = (tuple(rng.sample(range(*each), 3)) for each in ((0, 110), (170, 256)))
    ground, ink = rng.choice([(dark, light), (light, dark)])
    image = Image.new("RGB", (512, 384), ground)
    draw, top = ImageDraw.Draw(image), rng.randint(10, 60)
    lines: list[str] = []
    while len(lines) < 4 and top < 320:
        text, size = SCRIPTS[script](rng), rng.randint(14, 44)
        font = ImageFont.truetype(_FONT if script == "Chinese" else rng.choice(_FONTS), size)
        left = rng.randint(8, 60)
        if left + draw.textlength(text, font) < 500:
            draw.text((left, top), text, ink, font)
            lines.append(text)
        top += round(size * rng.uniform(1.3, 2.2))
    file = BytesIO()
    image.save(file, "JPEG", quality=rng.choice([75, 90]))
    return Image.open(file).convert("RGB"), lines


def read_share(reader: RapidOcr, script: str, cards: int, seed: int = 0) -> tuple[float, float]:
    """Share of the characters that are read right, and the median processor seconds of a card."""
    rng = random.Random(seed)
    wrong, characters, seconds = 0, 0, []
    for _ in range(cards):
        image, lines = card(rng, script)
        began = time.process_time()
        found = reader.read(image)
        seconds.append(time.process_time() - began)
        truth, read = (
            "".join("".join(texts).split())
            for texts in (lines, [line.text for line in in_reading_order(found)])
        )
        wrong += _distance(truth, read)
        characters += len(truth)
    return 1 - wrong / characters, sorted(seconds)[cards // 2]


def _distance(a: str, b: str) -> int:
    """Least number of characters to insert, delete or replace (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def main() -> None:
    """Print a line for each script."""
    reader = RapidOcr()
    print(f"{reader.model} {reader.revision}, {_CARDS} cards of each script")
    for script in SCRIPTS:
        share, seconds = read_share(reader, script, _CARDS)
        print(f"{script:8} {share:6.1%} of the characters read, {seconds:.2f} s of a core an image")


if __name__ == "__main__":
    main()
