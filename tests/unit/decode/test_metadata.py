"""What image files say against training is read in every container, and never costs the image."""

from __future__ import annotations

import struct
import time
import zlib
from io import BytesIO

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from kaption.workers.decode.decode import decode
from kaption.workers.decode.formats import sniff
from kaption.workers.decode.metadata.declared import declared
from kaption.workers.policy.ingest import ImagePolicy
from support.owners import (
    PROHIBITED,
    XMP_HEAD,
    app11,
    box,
    entries,
    extended_xmp,
    gif_with_xmp,
    jpeg_with,
    manifest,
    plain,
    png_with,
    saved_with_xmp,
    superbox,
    webp_with,
    xmp,
)

pytestmark = pytest.mark.slow

ALLOWING = manifest(entries(use="allowed"))
KEYWORD = b"XML:com.adobe.xmp\x00"


def signals(data: bytes) -> list[tuple[str, str]]:
    return [(one.kind, one.value) for one in decode(data, ImagePolicy()).opt_out]


def hex_profile(packet: bytes) -> bytes:
    return b"\nxmp\n%8d\n%s\n" % (len(packet), packet.hex().encode())


def c2pa_in_avif() -> bytes:
    return plain("AVIF") + uuid_box()


def c2pa_in_gif() -> bytes:
    return plain("GIF")[:-1] + gif_extension(manifest()) + b"\x3b"


def gif_extension(store: bytes) -> bytes:
    return b"\x21\xff\x0bC2PA_GIF\x01\x00\x00" + sub_blocks(store)


def uuid_box() -> bytes:
    """As an AVIF and an MP4 hold a manifest."""
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    return box(b"uuid", uuid, bytes(4), b"manifest\x00", bytes(8), manifest())


def moving_photograph() -> bytes:
    video = box(b"ftyp", b"mp42", bytes(8)) + box(b"mdat", b"\xff\xd8\xff\xeb" * 99) + uuid_box()
    return plain("JPEG") + video


def behind_the_first_scan() -> bytes:
    """A JPEG whose boxes stand between two scans, as a program may write them."""
    out = BytesIO()
    with Image.open(BytesIO(plain("PNG"))) as image:
        image.convert("RGB").save(out, "JPEG", progressive=True)
    data = out.getvalue()
    at = data.rindex(b"\xff\xda")
    segments = jpeg_with(*app11(manifest()))
    return data[:at] + segments[2 : len(segments) - len(plain("JPEG")) + 2] + data[at:]


def tiff_with_tag() -> bytes:
    tags, out = TiffImagePlugin.ImageFileDirectory_v2(), BytesIO()
    tags[0xCD41] = manifest()
    tags.tagtype[0xCD41] = 7
    with Image.open(BytesIO(plain("PNG"))) as image:
        image.save(out, "TIFF", tiffinfo=tags)
    return out.getvalue()


def sub_blocks(data: bytes) -> bytes:
    pieces = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\x00"


def resource() -> bytes:
    """A resource of Photoshop with the packet."""
    return b"8BIM\x04\x24\x00\x00" + struct.pack(">I", len(xmp())) + xmp()


def packed() -> bytes:
    return zlib.compress(xmp())


def with_exif(kind: str) -> bytes:
    exif, out = Image.Exif(), BytesIO()
    exif[700] = xmp()
    with Image.open(BytesIO(plain("PNG"))) as image:
        image.convert("RGB").save(out, kind, exif=exif)
    return out.getvalue()


def tiff_of_two_pages() -> bytes:
    out = BytesIO()
    files = map(BytesIO, (plain("TIFF"), saved_with_xmp("TIFF", xmp())))
    first, second = map(Image.open, files)
    first.save(out, "TIFF", save_all=True, append_images=[second])
    return out.getvalue()


WITH_XMP = {
    "JPEG": lambda: jpeg_with((0xE1, XMP_HEAD + xmp())),
    "JPEG with garbage": lambda: jpeg_with((0xE2, b"x"), (0xE1, XMP_HEAD + xmp())).replace(
        b"\xff\xe2\x00\x03x", b"\xff\xe2\x00\x03xgarbage\xff\x00\xff"
    ),
    "JPEG by Pillow": lambda: saved_with_xmp("JPEG", xmp()),
    "JPEG extended": lambda: jpeg_with((0xE1, XMP_HEAD + xmp("x")), *extended_xmp(xmp())),
    "PNG": lambda: png_with((b"iTXt", KEYWORD + b"\x00\x00\x00\x00" + xmp())),
    "PNG in a language": lambda: png_with((b"iTXt", KEYWORD + b"\x00\x00en\x00a b\x00" + xmp())),
    "PNG compressed": lambda: png_with(
        (b"iTXt", KEYWORD + b"\x01\x00\x00\x00" + zlib.compress(xmp()))
    ),
    "PNG by other programs": lambda: png_with(
        (b"zTXt", b"Raw profile type APP1\x00\x00" + zlib.compress(hex_profile(XMP_HEAD + xmp())))
    ),
    "PNG by a careless program": lambda: png_with((b"tEXt", KEYWORD.lower() + xmp())),
    "PNG by ImageMagick": lambda: png_with(
        (b"zTXt", b"Raw profile type xmp\x00\x00" + zlib.compress(hex_profile(xmp())))
    ),
    "WEBP": lambda: saved_with_xmp("WEBP", xmp()),
    "WEBP not announced": lambda: webp_with(b"XMP ", xmp()),
    "AVIF": lambda: saved_with_xmp("AVIF", xmp()),
    "TIFF": lambda: saved_with_xmp("TIFF", xmp()),
    "TIFF in UTF-16": lambda: saved_with_xmp("TIFF", xmp().decode().encode("utf-16")),
    "GIF": lambda: gif_with_xmp(xmp()),
    "GIF in sub-blocks": lambda: (
        plain("GIF")[:-1] + b"\x21\xff\x0bXMP DataXMP" + sub_blocks(xmp()) + b"\x3b"
    ),
    # Where no reader of the format looks, as it stands or packed
    "JPEG in Photoshop's resources": lambda: jpeg_with((0xED, b"Photoshop 3.0\x00" + resource())),
    "JPEG with another header": lambda: jpeg_with((0xE1, XMP_HEAD[:-1] + xmp())),
    "JPEG without header": lambda: jpeg_with((0xE1, xmp())),
    "JPEG in EXIF": lambda: with_exif("JPEG"),
    "PNG in EXIF": lambda: with_exif("PNG"),
    "WEBP in EXIF": lambda: with_exif("WEBP"),
    "AVIF in EXIF": lambda: with_exif("AVIF"),
    "PNG by another name": lambda: png_with((b"iTXt", b"xmp\x00\x01\x00\x00\x00" + packed())),
    "PNG in Photoshop's resources": lambda: png_with(
        (b"zTXt", b"Raw profile type 8bim\x00\x00" + zlib.compress(hex_profile(resource())))
    ),
    "WEBP in lower case": lambda: webp_with(b"xmp ", xmp()),
    "JPEG after many packets": lambda: jpeg_with(
        *[(0xE1, XMP_HEAD + xmp("DMI-ALLOWED"))] * 20, (0xE1, XMP_HEAD + xmp())
    ),
    "TIFF as text": lambda: saved_with_xmp("TIFF", xmp().replace(b"\xef\xbb\xbf", b""), 2),
    "TIFF on another page": lambda: tiff_of_two_pages(),
}
WITH_C2PA = {
    "JPEG": lambda: jpeg_with(*app11(manifest())),
    "JPEG in parts": lambda: jpeg_with(*app11(manifest(), part=50)[::-1]),
    "PNG": lambda: png_with((b"caBX", manifest())),
    "WEBP": lambda: webp_with(b"C2PA", manifest()),
    "AVIF": c2pa_in_avif,
    "TIFF": lambda: plain("TIFF") + manifest(),
    "TIFF in its tag": tiff_with_tag,
    "GIF": c2pa_in_gif,
    "GIF in a second extension": lambda: (
        plain("GIF")[:-1] + gif_extension(ALLOWING) + gif_extension(manifest()) + b"\x3b"
    ),
    # Behind the end of the image
    "JPEG with a box behind it": lambda: plain("JPEG") + manifest(),
    "JPEG of two images": lambda: plain("JPEG") + jpeg_with(*app11(manifest(), part=60)),
    "JPEG of two images with boxes": lambda: (
        jpeg_with(*app11(ALLOWING, part=60)) + bytes(9) + jpeg_with(*app11(manifest(), part=70))
    ),
    "JPEG of three images": lambda: plain("JPEG") * 2 + jpeg_with(*app11(manifest())),
    "JPEG with a video behind it": moving_photograph,
    "JPEG between two scans": behind_the_first_scan,
    "JPEG in another segment": lambda: jpeg_with((0xE2, manifest())),
    "PNG with a box behind it": lambda: plain("PNG") + manifest(),
    "WEBP with a box behind it": lambda: plain("WEBP") + manifest(),
    "GIF with a box behind it": lambda: plain("GIF") + manifest(),
    "GIF with an extension behind it": lambda: plain("GIF") + gif_extension(manifest()),
    "BMP with a box behind it": lambda: plain("BMP") + manifest(),
}


@pytest.mark.parametrize("container", WITH_XMP)
def test_a_prohibition_in_xmp_is_found(container: str) -> None:
    assert signals(WITH_XMP[container]()) == [("xmp_data_mining", PROHIBITED)]


@pytest.mark.parametrize("container", WITH_C2PA)
def test_a_training_assertion_is_found(container: str) -> None:
    value = "c2pa.training-mining: c2pa.ai_training notAllowed"

    decoded = decode(WITH_C2PA[container](), ImagePolicy())

    assert [(one.kind, one.value) for one in decoded.opt_out] == [("c2pa_training_mining", value)]
    assert decoded.unreadable == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
def test_an_image_without_metadata_says_nothing(kind: str) -> None:
    decoded = decode(plain(kind), ImagePolicy())

    assert (decoded.opt_out, decoded.unreadable) == ((), ())


def test_what_the_file_says_is_not_in_the_stored_image() -> None:
    decoded = decode(WITH_XMP["JPEG"](), ImagePolicy())

    assert b"DataMining" not in decoded.jpeg


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('<plus:DataMining rdf:resource="X-PROHIBITED"/>', "X-PROHIBITED"),
        ("<plus:DataMining><rdf:Bag><rdf:li>PROHIBITED</rdf:li></rdf:Bag></plus:DataMining>", None),
        ("<a:DataMining>Prohibited for training</a:DataMining>", "Prohibited for training"),
        ("<plus:DataMining> DMI&#45;PROHIBITED\n</plus:DataMining>", "DMI-PROHIBITED"),
        ('<rdf:Description plus:DataMining="DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING"/>', None),
        ("<plus:DataMining><![CDATA[DMI-PROHIBITED]]></plus:DataMining>", "DMI-PROHIBITED"),
        ("<plus:dataMining>DMI-PROHIBITED</plus:dataMining>", "DMI-PROHIBITED"),
        ('<rdf:Description plus:datamining="DMI-PROHIBITED"/>', "DMI-PROHIBITED"),
        ("<plus:DATAMINING>not allowed</plus:DATAMINING>", "not allowed"),
        ("<plus:DataMining>Forbidden for training</plus:DataMining>", "Forbidden for training"),
        ("<plus:DataMining> No </plus:DataMining>", "No"),
        ("<plus:DataMining>no AI, please</plus:DataMining>", "no AI, please"),
        ("<plus:DataMining>No data mining</plus:DataMining>", "No data mining"),
        ("<plus:DataMining>Opt-out</plus:DataMining>", "Opt-out"),
        ("<plus:DataMining>not permitted</plus:DataMining>", "not permitted"),
    ],
)
def test_the_property_is_read_in_each_form_of_rdf(body: str, value: str | None) -> None:
    ((kind, found),) = signals(jpeg_with((0xE1, XMP_HEAD + xmp(body=body))))

    assert kind == "xmp_data_mining"
    assert found == value if value else found in body


@pytest.mark.parametrize(
    "body",
    [
        "<plus:DataMining>http://ns.useplus.org/LDF/vocab/DMI-ALLOWED</plus:DataMining>",
        "<plus:DataMining>DMI-UNSPECIFIED</plus:DataMining>",
        "<plus:DataMining>Unspecified - no prohibition defined</plus:DataMining>",
        "<plus:DataMining>Not prohibited</plus:DataMining>",
        "<plus:DataMining>No restrictions, no limits</plus:DataMining>",
        "<plus:DataMining/>",
        "<plus:DataMiningNote>PROHIBITED</plus:DataMiningNote>",
        "<dc:title>DataMining PROHIBITED</dc:title>",
        "<!-- <plus:DataMining>DMI-PROHIBITED</plus:DataMining> -->",
        "<plus:DataMining>x</plus:DataMining><dc:title>PROHIBITED</dc:title>",
    ],
)
def test_other_values_and_properties_allow(body: str) -> None:
    decoded = decode(jpeg_with((0xE1, XMP_HEAD + xmp(body=body))), ImagePolicy())

    assert (decoded.opt_out, decoded.unreadable) == ((), ())


@pytest.mark.parametrize(
    ("store", "value"),
    [
        (manifest(as_json=True), "c2pa.training-mining: c2pa.ai_training notAllowed"),
        (
            manifest(entries("cawg.data_mining", use="constrained"), "cawg.training-mining"),
            "cawg.training-mining: cawg.data_mining constrained",
        ),
        (
            manifest(label="c2pa.training-mining__2"),
            "c2pa.training-mining__2: c2pa.ai_training notAllowed",
        ),
        (
            manifest({"c2pa.ai_training": {"use": "notAllowed"}}),
            "c2pa.training-mining: c2pa.ai_training notAllowed",
        ),
        (
            manifest({"entries": {"c2pa.ai_training": {"use": "Prohibited"}}}),
            "c2pa.training-mining: c2pa.ai_training Prohibited",
        ),
        (
            manifest({"entries": [{"c2pa.ai_training": {"use": "not_allowed"}}]}),
            "c2pa.training-mining: c2pa.ai_training not_allowed",
        ),
        (
            manifest({"Entries": [{"name": "c2pa.ai_training", "Use": b"Not allowed"}]}),
            "c2pa.training-mining: c2pa.ai_training Not allowed",
        ),
        (
            manifest(cbor2.CBORTag(55799, entries(use="notAllowed"))),
            "c2pa.training-mining: c2pa.ai_training notAllowed",
        ),
        (
            superbox(
                "c2pa.training-mining",
                box(b"free", bytes(9)),
                box(b"cbor", cbor2.dumps({"c2pa.ai_training": "notAllowed"})),
            ),
            "c2pa.training-mining: c2pa.ai_training notAllowed",
        ),
    ],
)
def test_training_assertions_are_read_in_each_form(store: bytes, value: str) -> None:
    assert signals(jpeg_with(*app11(store))) == [("c2pa_training_mining", value)]


@pytest.mark.parametrize(
    "store",
    [
        manifest(entries(use="allowed")),
        manifest(label="c2pa.training-data"),
        manifest(label="org.example.training-mining"),
    ],
)
def test_other_assertions_allow(store: bytes) -> None:
    decoded = decode(png_with((b"caBX", store)), ImagePolicy())

    assert (decoded.opt_out, decoded.unreadable) == ((), ())


TDM = 'xmlns:tdm="http://www.w3.org/ns/tdmrep/"'


@pytest.mark.parametrize(
    ("body", "reserved"),
    [
        (f"<tdm:reservation {TDM}>1</tdm:reservation>", True),
        (f'<rdf:Description {TDM} tdm:reservation="1" tdm:policy="https://e.org/p"/>', True),
        (f"<tdm:Reservation {TDM}> true </tdm:Reservation>", True),
        (f"<tdm:reservation {TDM}>0</tdm:reservation>", False),
        (f"<tdm:policy {TDM}>1</tdm:policy>", False),
        ("<dc:title>tdm:reservation 1</dc:title><x:reservation>1</x:reservation>", False),
    ],
)
def test_a_reservation_in_xmp_is_read(body: str, reserved: bool) -> None:
    data = jpeg_with((0xE1, XMP_HEAD + xmp(body=body)))

    assert signals(data) == ([("tdm_reservation", "1")] if reserved else [])


ENTITIES = (
    b'<!DOCTYPE x [<!ENTITY a "PROHIBITED"><!ENTITY b "&a;&a;&a;&a;">]>'
    b"<x><DataMining>&b;</DataMining></x>"
)


@pytest.mark.parametrize(
    ("data", "block"),
    [
        (jpeg_with((0xE1, XMP_HEAD + ENTITIES)), "xmp"),
        (jpeg_with((0xE1, XMP_HEAD + b"<a><DataMining></b>")), "xmp"),
        (jpeg_with((0xE1, XMP_HEAD + b"DataMining \xff\xfe")), "xmp"),
        (jpeg_with((0xE1, b"http://ns.adobe.com/xmp/extension/\x00short")), "xmp"),
        (png_with((b"iTXt", KEYWORD + b"\x01\x00\x00\x00no zlib")), "xmp"),
        (png_with((b"tEXt", b"Raw profile type xmp\x00\nxmp\n 3\nzz")), "xmp"),
        (jpeg_with(*app11(manifest(raw=b"\x9b" + b"\xff" * 8))), "c2pa"),
        (jpeg_with(*app11(manifest(raw=b"\x81" * 100_000, as_json=False))), "c2pa"),
        (jpeg_with(*app11(manifest(raw=b"[" * 60_000, as_json=True))), "c2pa"),
        (jpeg_with(*app11(manifest(raw=b"\x00"))), "c2pa"),
        (jpeg_with(*app11(manifest()[:-500])), "c2pa"),
        (png_with((b"caBX", manifest(raw=b"\xd8\x1c\x81\xd8\x1d\x00"))), "c2pa"),  # holds itself
    ],
)
def test_broken_metadata_is_named_and_costs_no_image(data: bytes, block: str) -> None:
    decoded = decode(data, ImagePolicy())

    assert decoded.unreadable == (block,)
    assert decoded.opt_out == ()


def test_a_prohibition_before_a_broken_place_counts() -> None:
    broken = xmp().replace(b"</rdf:Description>", b"</wrong>")

    decoded = decode(jpeg_with((0xE1, XMP_HEAD + broken)), ImagePolicy())

    assert [one.value for one in decoded.opt_out] == [PROHIBITED]
    assert decoded.unreadable == ("xmp",)


BEFORE = ["A & B", "caf\xe9", "a\x01b", "&nbsp;&copy;", "1 < 2", "</wrong>", "<open>"]
"""What makes a packet no XML, in another property before ours."""


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(
    "body",
    [
        "<plus:DataMining>DMI-PROHIBITED</plus:DataMining>",
        "<plus:DataMining>\n <rdf:Bag><rdf:li>PROHIBITED</rdf:li></rdf:Bag></plus:DataMining >",
        '<plus:DataMining rdf:resource="DMI-PROHIBITED"/>',
        "<rdf:Description x:DataMining = 'Prohibited for AI'/>",
    ],
)
def test_a_prohibition_behind_a_broken_place_counts(before: str, body: str) -> None:
    packet = xmp(body=f"<dc:title>{before}</dc:title>{body}").decode().encode("latin-1", "ignore")

    decoded = decode(jpeg_with((0xE1, XMP_HEAD + packet)), ImagePolicy())

    assert [one.kind for one in decoded.opt_out] == ["xmp_data_mining"]
    assert decoded.unreadable == ("xmp",)


@pytest.mark.parametrize(
    "body",
    [
        "<plus:DataMining>DMI-ALLOWED</plus:DataMining><dc:title>PROHIBITED</dc:title>",
        "<plus:DataMining>x</plus:DataMining>PROHIBITED<plus:DataMining>y</plus:DataMining>",
        "<plus:DataMining/><dc:title>PROHIBITED</dc:title>",
        "<!-- <plus:DataMining>DMI-PROHIBITED</plus:DataMining> -->",
        "<plus:DataMiningNote>PROHIBITED</plus:DataMiningNote>",
    ],
)
def test_behind_a_broken_place_other_values_and_properties_allow(body: str) -> None:
    packet = xmp(body=f"<dc:title>A & B</dc:title>{body}")

    decoded = decode(jpeg_with((0xE1, XMP_HEAD + packet)), ImagePolicy())

    assert (decoded.opt_out, decoded.unreadable) == ((), ("xmp",) if "DataMining" in body else ())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_a_prohibition_is_found_in_each_encoding_of_xmp(encoding: str) -> None:
    packet = xmp().decode().encode(encoding)

    assert signals(jpeg_with((0xE1, XMP_HEAD + packet))) == [("xmp_data_mining", PROHIBITED)]


@pytest.mark.parametrize(
    "part", [b"<DataMining ", b"<!--", b"<DataMining>", b"DataMining='", b"</DataMining", b"<"]
)
def test_a_hostile_packet_is_read_in_seconds(part: bytes) -> None:
    packet = part * (16_000_000 // len(part)) + b"DataMining &"
    began = time.process_time()

    declared(png_with((b"tEXt", KEYWORD + packet)), "PNG", None)

    assert time.process_time() - began < 10  # quadratic time would be hours


def test_a_broken_block_does_not_hide_a_sound_one() -> None:
    first, second = manifest(raw=b"\xff"), manifest()
    data = jpeg_with(
        (0xE1, XMP_HEAD + b"<DataMining"), *extended_xmp(xmp()), *app11(first + second)
    )

    decoded = decode(data, ImagePolicy())

    assert {one.kind for one in decoded.opt_out} == {"xmp_data_mining", "c2pa_training_mining"}
    assert decoded.unreadable == ("c2pa", "xmp")


def test_half_an_emoji_in_an_assertion_costs_no_image() -> None:
    store = manifest(raw=b'{"\\ud800": {"use": "notAllowed"}}', as_json=True)

    assert signals(png_with((b"caBX", store))) == [
        ("c2pa_training_mining", "c2pa.training-mining: \ufffd notAllowed")
    ]


def test_a_packet_that_inflates_without_end_is_bounded() -> None:
    bomb = zlib.compress(bytes(20_000_000))
    data = png_with(*[(b"iTXt", KEYWORD + b"\x01\x00\x00\x00" + bomb)] * 12)

    assert decode(data, ImagePolicy()).opt_out == ()


@settings(max_examples=60)
@given(st.sampled_from([*WITH_XMP, *WITH_C2PA]), st.data())
def test_damaged_metadata_never_raises(container: str, draw: st.DataObject) -> None:
    data = bytearray((WITH_XMP.get(container) or WITH_C2PA[container])())
    for _ in range(draw.draw(st.integers(1, 30))):
        data[draw.draw(st.integers(12, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(data[: draw.draw(st.integers(20, len(data)))])

    declared(cut, sniff(bytes(data)) or "JPEG", cut)
