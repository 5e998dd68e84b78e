# ruff: noqa: RUF001  # letters of many scripts are what this is about
"""The bytes of a page become the text that a browser shows."""

import pytest

from kaption.producers.web.encoding import page_text

# What Python calls the encoding, a label on the web, and a text in it.
TEXTS = [
    ("gbk", "gb2312", "红色的花瓶放在木桌上，镕朱"),
    ("gb18030", "gb18030", "红色的花瓶，𠮷"),
    ("gbk", "GB_2312-80", "一只猫坐在沙发上"),
    ("big5hkscs", "big5", "紅色的花瓶放在木桌上，啩喺"),
    ("cp932", "Shift_JIS", "赤い花瓶①、㈱髙島屋～"),
    ("cp932", "x-sjis", "木のテーブルの上の花瓶"),
    ("euc_jp", "euc-jp", "赤い花瓶が木の机にある"),
    ("iso2022_jp", "iso-2022-jp", "赤い花瓶"),
    ("cp949", "euc-kr", "빨간 꽃병이 나무 탁자 위에 똠방각하"),
    ("cp949", "ks_c_5601-1987", "고양이가 소파에 앉아 있다"),
    ("koi8_r", "koi8-r", "Красная ваза на столе"),
    ("koi8_u", "koi8-u", "Червона ваза на столі, її"),
    ("cp1251", "windows-1251", "Красная ваза на столе"),
    ("cp866", "ibm866", "Красная ваза"),
    ("iso8859_5", "iso-8859-5", "Красная ваза"),
    ("mac_cyrillic", "x-mac-cyrillic", "Красная ваза"),
    ("cp1253", "windows-1253", "Κόκκινο βάζο σε τραπέζι"),
    ("iso8859_7", "greek", "Κόκκινο βάζο"),
    ("cp1255", "windows-1255", "אגרטל אדום על שולחן"),
    ("iso8859_8", "iso-8859-8-i", "אגרטל אדום"),
    ("cp1256", "windows-1256", "مزهرية حمراء على الطاولة"),
    ("cp874", "tis-620", "แจกันสีแดงบนโต๊ะไม้"),
    ("cp1254", "iso-8859-9", "Ahşap masanın üstünde kırmızı vazo, “güzel”"),
    ("cp1250", "windows-1250", "Červená váza na dřevěném stole"),
    ("cp1252", "iso-8859-1", "Eine rote Vase – 5 €, “schön”"),
    ("cp1252", "ascii", "Vase à fleurs"),
    ("cp1257", "windows-1257", "Raudona vaza ant stalo, ąčęėįšųūž"),
    ("cp1258", "windows-1258", "Hoa đo trên"),
    ("utf-8", "utf8", "壺 ваза 🏺"),
    ("utf-16-le", "utf-16", "壺 ваза"),
    ("utf-16-be", "utf-16be", "壺 ваза"),
]


def page(text: str, head: str = "") -> str:
    return f'<html><head>{head}</head><body><img src="/1.jpg" alt="{text}"></body></html>'


@pytest.mark.parametrize(("codec", "label", "text"), TEXTS)
@pytest.mark.parametrize("form", ["text/html; charset={}", 'text/html;CHARSET = "{}"; x=y'])
def test_the_label_of_the_header_is_read_as_browsers_do(
    codec: str, label: str, text: str, form: str
) -> None:
    assert page_text(page(text).encode(codec), form.format(label)) == page(text)


@pytest.mark.parametrize(
    ("codec", "label", "text"), [each for each in TEXTS if "utf-16" not in each[1]]
)
@pytest.mark.parametrize(
    "form",
    [
        '<meta charset="{}">',
        "<meta http-equiv=Content-Type content='text/html; charset={}'>",
        "<!--" + "x" * 5000 + "--><META CHARSET={}>",
    ],
)
def test_the_label_of_the_page_is_read_as_browsers_do(
    codec: str, label: str, text: str, form: str
) -> None:
    html = page(text, form.format(label))

    assert page_text(html.encode(codec)) == html


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("gbk", "红色的花瓶放在木桌上"),
        ("big5", "紅色的花瓶放在木桌上"),
        ("cp932", "赤い花瓶が木のテーブルの上にある"),
        ("euc_jp", "赤い花瓶が木のテーブルの上にある"),
        ("cp949", "빨간 꽃병이 나무 탁자 위에 있다"),
        ("koi8_r", "Красная ваза на деревянном столе"),
        ("cp1251", "Красная ваза на деревянном столе"),
        ("cp1253", "Κόκκινο βάζο σε ξύλινο τραπέζι"),
        ("cp1255", "אגרטל אדום על שולחן עץ"),
        ("cp874", "แจกันสีแดงบนโต๊ะไม้"),
        ("cp1254", "Ahşap masanın üstünde kırmızı vazo"),
        ("utf-8", "grün"),
    ],
)
def test_the_bytes_of_a_page_without_a_label_decide(codec: str, text: str) -> None:
    for label in ("", "text/html; charset=no-such", "text/html; charset="):
        assert page_text(page(text).encode(codec), label) == page(text)


@pytest.mark.parametrize(
    ("content", "header", "text"),
    [
        # A byte order mark is stronger than a header, and a header than the page.
        (b"\xef\xbb\xbf" + "grün".encode(), "text/html; charset=windows-1251", "grün"),
        ("\ufeffgrün".encode("utf-16-le"), "text/html; charset=utf-8", "grün"),
        ("\ufeffgrün".encode("utf-16-be"), "", "grün"),
        ("<p>ваза".encode("utf-16-le"), "text/html", "<p>ваза"),
        ("<p>ваза".encode("utf-16-be"), "", "<p>ваза"),
        ("<meta charset=gbk>grün".encode(), "text/html; charset=utf-8", "<meta charset=gbk>grün"),
        # A page that says UTF-16 in ASCII is no UTF-16.
        ("<meta charset=utf-16>grün".encode(), "", "<meta charset=utf-16>grün"),
        (b"<meta charset=x-user-defined>gr\xfcn", "", "<meta charset=x-user-defined>grün"),
        (b"gr\xfcn", "text/html; charset=x-user-defined", "gr\uf7fcn"),
        (b"gr\xfcn", "text/html; charset=iso-2022-kr", "\ufffd"),
        (b"a\x81\x8d", "text/html; charset=latin1", "a\x81\x8d"),
        (
            '<?xml version="1.0" encoding="euc-jp"?><p>赤い花'.encode("euc_jp"),
            "application/xhtml+xml",
            '<?xml version="1.0" encoding="euc-jp"?><p>赤い花',
        ),
        (b"", "text/html", ""),
    ],
)
def test_what_contradicts_is_settled_as_browsers_do(content: bytes, header: str, text: str) -> None:
    assert page_text(content, header) == text


@pytest.mark.parametrize("broken", [b"\xff", b"\xd0", b"caf\xe9"])
@pytest.mark.parametrize("head", ["", "<meta charset=iso-8859-1>"])
def test_a_few_wrong_bytes_do_not_turn_a_page_in_utf8_into_another(
    broken: bytes, head: str
) -> None:
    content = page("Красная ваза, rote Vase für Blumen", head).encode()

    assert "Красная ваза, rote Vase für Blumen" in page_text(content + broken)


@pytest.mark.parametrize(
    "label", ["punycode", "hex", "zip", "bz2", "unicode_escape", "idna", "mbcs", "utf-7", "rot13"]
)
def test_codecs_of_python_that_are_no_encodings_count_as_none(label: str) -> None:
    # Given a page on which the codec punycode would take minutes
    html = page("grün" + "a" * 400_000)

    assert page_text(html.encode(), f"text/html; charset={label}") == html
    assert page_text(f"<meta charset={label}>{html}".encode()).endswith(html)


def test_a_hostile_header_takes_no_time() -> None:
    for header in (
        "charset=" + " " * 100_000,
        "charset " * 20_000,
        "charset=\x00",
        "charset=\udc80",
    ):
        assert page_text("grün".encode(), header) == "grün"


def test_the_decoders_are_those_of_the_standard_and_not_pythons() -> None:
    # Given bytes on which they differ: NEC row 13, HKSCS, the euro sign of GBK, KOI8-RU
    differing = [
        (b"\xad\xa1", "euc-jp", "①"),
        (b"\x1b$B\x2d\x21\x1b(B", "iso-2022-jp", "①"),
        (b"\x87\x40", "big5", "䏰"),
        (b"\x80", "gb2312", "€"),
        (b"\xae", "koi8-u", "ў"),
    ]

    for content, label, text in differing:
        assert page_text(content, f"text/html; charset={label}") == text
