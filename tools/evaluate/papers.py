"""Renders identity documents, driving licences and CVs, and papers that look like them.

documents.toml has what they say. Nobody in them exists.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter, ImageFont

Draw = random.Random
SAID: dict[str, Any] = tomllib.loads(Path(__file__).with_name("documents.toml").read_text("utf-8"))
"""documents.toml."""
_DASHES = "-\u2013"
LONGEST_SIDE = 512
"""Pixels, as ingest stores images by default."""
_WORDS = {
    "<first>": "ANNA MARIA LUKAS JONAS CHLOE HUGO LUCIA MATEO GIULIA MARCO JOAO EVA DAAN ZOFIA",
    "<last>": "MUSTER EXAMPLE DUPONT GARCIA ROSSI SILVA JANSEN NOWAK BERG NOVAK DOE ROE KAISER",
    "<town>": "BERLIN LYON SEVILLA TORINO PORTO UTRECHT GDANSK LEEDS GRAZ AUSTIN PERTH OSLO",
    "<street>": "HAUPTSTRASSE RUE-NEUVE CALLE-MAYOR VIA-ROMA HIGH-STREET OAK-AVE DORPSSTRAAT",
}
_YEARS = {"born": (1950, 2004), "given": (2012, 2025), "ends": (2026, 2036)}
_FILLER = """planning reports budget team clients design software testing sales support research
    project training quality data music travel reading service market product analysis"""


def identity(drawn: Draw) -> Image.Image:
    """An identity card."""
    return _card(drawn, SAID["identity"][drawn.choice(sorted(SAID["identity"]))])


def licence(drawn: Draw) -> Image.Image:
    """A driving licence."""
    return _card(drawn, SAID["licence"][drawn.choice(sorted(SAID["licence"]))])


def passport(drawn: Draw) -> Image.Image:
    """The page of a passport with its data and, mostly, both lines that machines read."""
    country, *titles = drawn.choice(SAID["passport"]["countries"])
    lines = _machine_lines(drawn, country) if drawn.random() < 0.7 else ()
    return _card(drawn, {"titles": titles, "fields": SAID["passport"]["fields"]}, lines)


def cv(drawn: Draw) -> Image.Image:
    """A page of a CV in one or two columns."""
    said = SAID["cv"][drawn.choice(sorted(SAID["cv"]))]
    blocks = [(head, [_dated(drawn, said["now"]) for _ in range(3)]) for head in said["dated"]]
    others = [(head, [_sentence(drawn) for _ in range(2)]) for head in said["other"]]
    top = [_name(drawn), said["title"], "name@mail.example  +00 000 555 0100"]
    if drawn.random() < 0.5:
        return _page(drawn, top, [[*others[:1], *blocks, *others[1:]]])
    return _page(drawn, top, [others, blocks] if drawn.random() < 0.5 else [blocks, others])


def _name(drawn: Draw) -> str:
    return f"{_value(drawn, '<first>')} {_value(drawn, '<last>')}".title()


def _value(drawn: Draw, kind: str) -> str:
    word = drawn.choice(kind.split("|"))
    if word == "<number>":
        letters = "".join(drawn.choices("ABCDEFGHKLMNPRTXYZ", k=drawn.randint(1, 3)))
        return letters + "".join(drawn.choices("0123456789", k=drawn.randint(6, 8)))
    if word in _WORDS:
        found = drawn.choice(_WORDS[word].split()).replace("-", " ")
        return f"{found} {drawn.randint(1, 190)}" if word == "<street>" else found
    of, _, style = word.partition(" ")
    if of in _YEARS:
        return _date(drawn, style, *_YEARS[of])
    if of == "from":
        low, _, high, style = style.split(" ", 3)
        return _date(drawn, style, int(low), int(high))
    return word


def _date(drawn: Draw, style: str, low: int, high: int) -> str:
    parts = {"d": f"{drawn.randint(1, 28):02}", "m": f"{drawn.randint(1, 12):02}"}
    parts["y"] = str(drawn.randint(low, high))
    return "".join(parts.get(each, each) for each in style)


def _dated(drawn: Draw, now: str) -> str:
    begin = drawn.randint(1998, 2022)
    end = now if drawn.random() < 0.3 else str(begin + drawn.randint(1, 4))
    months = drawn.random() < 0.4
    span = f"{drawn.randint(1, 12):02}/{begin}" if months else str(begin)
    if months and end != now:
        end = f"{drawn.randint(1, 12):02}/{end}"
    return f"{span} {drawn.choice(_DASHES)} {end}  {_sentence(drawn)}"


def _sentence(drawn: Draw) -> str:
    return " ".join(drawn.sample(_FILLER.split(), 4)).capitalize()


def _font(size: int, *, bold: bool = False, cjk: bool = False) -> Any:
    if cjk:
        found = files("paperang_p2_fonts_cjk").joinpath("fonts/wqy-microhei.ttc")
        return ImageFont.truetype(str(found), size)
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(name, size)


def _is_cjk(text: str) -> bool:
    return any("\u3000" < each < "\uffef" for each in text)


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, **how: Any
) -> None:
    """Write a text at (x, y); `how` may have `bold` and `fill`."""
    font = _font(size, bold=how.get("bold", False), cjk=_is_cjk(text))
    draw.text(at, text, fill=how.get("fill", "black"), font=font)


def _card(drawn: Draw, said: dict[str, Any], below: Sequence[str] = ()) -> Image.Image:
    """A card with a portrait at one side, labels with values in one or two columns."""
    width, height = 1000, 700 if below else 630
    pale = tuple(drawn.randint(190, 245) for _ in range(3))
    image = Image.new("RGB", (width, height), pale)
    draw = ImageDraw.Draw(image)
    for y in range(0, height, 14):  # guilloche
        wave = tuple(each - 12 for each in pale)
        draw.arc((-200, y - 60, width + 200, y + 60), 0, 180, fill=wave)
    left = drawn.random() < 0.75
    x = 330 if left else 40
    box = (40, 150, 290, 470) if left else (710, 150, 960, 470)
    draw.rectangle(box, fill=(170, 175, 180))
    cx = (box[0] + box[2]) / 2
    draw.ellipse((cx - 70, 190, cx + 70, 360), fill=(205, 170, 140))
    draw.pieslice((cx - 120, 360, cx + 120, 600), 180, 360, fill=(60, 70, 110))
    for at, title in enumerate(said["titles"]):
        write(draw, (40, 22 + 50 * at), title, 36 if at == 0 else 32, bold=True, fill=(30, 40, 90))
    beside = drawn.random() < 0.35 or any(len(label) < 8 for label, _ in said["fields"])
    bottom = height - (110 if below else 30)
    step = (bottom - 140) / max(len(said["fields"]), 7)
    for at, (label, kind) in enumerate(said["fields"]):
        top, value = 140 + step * at, _value(drawn, kind)
        size = int(min(30, step * 0.62))
        if beside:
            small = draw.textlength(label, _font(size - 4, cjk=_is_cjk(label)))
            write(draw, (x, top + 2), label, size - 4, fill=(70, 70, 70))
            write(draw, (x + small + 18, top), value, size)
        else:
            write(draw, (x, top), label, max(14, int(step * 0.3)), fill=(70, 70, 70))
            write(draw, (x, top + step * 0.36), value, int(step * 0.48))
    for at, line in enumerate(below):
        draw.text(
            (24, height - 100 + 44 * at),
            line,
            fill="black",
            font=ImageFont.truetype("DejaVuSansMono.ttf", 35),
        )
    return image


def _page(
    drawn: Draw, top: Sequence[str], columns: Sequence[Sequence[tuple[str, Sequence[str]]]]
) -> Image.Image:
    """A page of A4 at 150 dpi: lines at the top, then columns of headings with their lines."""
    image = Image.new("RGB", (1240, 1754), "white")
    draw = ImageDraw.Draw(image)
    if drawn.random() < 0.3:
        draw.rectangle((0, 0, 1240, 250), fill=tuple(drawn.randint(180, 240) for _ in range(3)))
    for at, line in enumerate(top):
        write(draw, (90, 60 + 70 * at), line, 52 if at == 0 else 34, bold=at == 0)
    body = drawn.randint(24, 32)
    for number, blocks in enumerate(columns):
        x, y = 90 + number * 1100 / len(columns), 320.0
        for head, lines in blocks:
            text = head.upper() if drawn.random() < 0.4 else head
            write(draw, (x, y), text, body + 10, bold=True, fill=(20, 60, 120))
            draw.line((x, y + body + 24, x + 1000 / len(columns), y + body + 24), fill="gray")
            y += body + 40
            for line in lines:
                for part in _wrapped(line, 60 // len(columns)):
                    write(draw, (x, y), part, body)
                    y += body * 1.5
            y += body
    return image


def _wrapped(line: str, most: int) -> list[str]:
    found = [""]
    for word in line.split(" "):
        if len(found[-1]) + len(word) > most:
            found.append("")
        found[-1] = f"{found[-1]} {word}".strip()
    return found


def photographed(image: Image.Image, drawn: Draw) -> Image.Image:
    """The paper as ingest stores its photograph or scan: turned a little, blurred, as a JPEG."""
    if drawn.random() < 0.6:
        around = tuple(drawn.randint(40, 200) for _ in range(3))
        wide = Image.new("RGB", (int(image.width * 1.1), int(image.height * 1.1)), around)
        wide.paste(image, (int(image.width * 0.05), int(image.height * 0.05)))
        turned = drawn.uniform(-3, 3)
        image = wide.rotate(turned, Image.Resampling.BICUBIC, fillcolor=around)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    if drawn.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(0.5))
    file = BytesIO()
    image.save(file, "JPEG", quality=drawn.randint(75, 95))
    return Image.open(BytesIO(file.getvalue())).convert("RGB")


def _machine_lines(drawn: Draw, country: str) -> tuple[str, str]:
    state = country.ljust(3, "A")[:3]
    name = f"P<{state}{_value(drawn, '<last>')}<<{_value(drawn, '<first>')}".ljust(44, "<")
    number = checked("".join(drawn.choices("ABCDEFGH0123456789", k=9)))
    dates = f"{_six(drawn)}{drawn.choice('MF')}{_six(drawn)}"
    return name, f"{number}{state}{dates}{'<' * 15}0"


def _six(drawn: Draw) -> str:
    return checked(
        f"{drawn.randrange(100):02}{drawn.randrange(1, 13):02}{drawn.randrange(1, 29):02}"
    )


def checked(field: str) -> str:
    """The field with its check digit: weights 7, 3, 1."""
    values = [int(each, 36) * (7, 3, 1)[at % 3] for at, each in enumerate(field)]
    return f"{field}{sum(values) % 10}"


PAPERS: dict[str, Callable[[Draw], Image.Image]] = {
    "passports": passport,
    "identity cards": identity,
    "driving licences": licence,
    "CVs": cv,
}
