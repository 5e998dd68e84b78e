"""Ingest refuses images whose owners forbid their use, wherever they say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kaption.schemas import BlobRef, ImageSource, OptOutSignal, RawPair, Reason
from kaption.testing.records import incoming, raw_pair
from kaption.workers.demo.site import FETCH
from kaption.workers.fetch import site_rules
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.runtime.stage import Incoming, Reject
from kaption.workers.stages.ingest.opt_outs import UNREADABLE
from support.ingest_bench import TEXT, Bench, emitted, linked, message, raw, reasons
from support.owners import (
    XMP_HEAD,
    OwnersWeb,
    Said,
    app11,
    jpeg_with,
    manifest,
    plain,
    png_with,
    xmp,
)

NO = "User-agent: *\nDisallow: /"
ROBOTS, TDM_REP = "/robots.txt", "/.well-known/tdmrep.json"
IN_XMP = jpeg_with((0xE1, XMP_HEAD + xmp()))


@pytest.fixture
def web() -> Iterator[OwnersWeb]:
    with OwnersWeb() as web:
        web.answers["/a.jpg"] = Said(plain("JPEG"))
        yield web


def policy(**fields: object) -> IngestPolicy:
    return IngestPolicy.model_validate({"text": TEXT, "fetch": FETCH} | fields)


HEADERS = [
    ("X-Robots-Tag", "noai, noimageai", "x_robots_tag"),
    ("X-Robots-Tag", "noindex", "x_robots_tag"),
    ("x-robots-tag", "kaption: noai", "x_robots_tag"),
    ("TDM-Reservation", "1", "tdm_reservation"),
    ("Content-Usage", "search=y, train-ai=n", "content_usage"),
    ("Content-Signal", "search=yes, ai-train=no", "content_signal"),
]


@pytest.mark.parametrize(("name", "value", "kind"), HEADERS)
def test_the_header_of_an_image_counts(
    bench: Bench, web: OwnersWeb, name: str, value: str, kind: str
) -> None:
    web.answers["/a.jpg"] = Said(plain("JPEG"), headers={name: value})
    ignoring = bench.stage(policy=policy(ignore_opt_outs=[kind]))

    (refused,) = bench.run(linked(f"{web.url}/a.jpg", 0))
    (kept,) = bench.run(linked(f"{web.url}/a.jpg", 1), stage=ignoring)

    assert isinstance(refused, Reject)
    assert refused.reason is Reason.OPTED_OUT
    assert kind in refused.detail
    assert f"{web.url}/a.jpg" in refused.detail
    (signal,) = emitted(kept).opt_out
    assert (signal.kind, signal.source) == (kind, f"{web.url}/a.jpg")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Robots-Tag", "googlebot: noindex, noai"),
        ("X-Robots-Tag", "all, max-image-preview: large"),
        ("TDM-Reservation", "0"),
        ("Content-Usage", "train-ai=y"),
        ("Content-Signal", "search=no"),
        ("Content-Type", "noai"),
    ],
)
def test_other_headers_allow(bench: Bench, web: OwnersWeb, name: str, value: str) -> None:
    web.answers["/a.jpg"] = Said(plain("JPEG"), headers={name: value})

    assert reasons(bench.run(linked(f"{web.url}/a.jpg", 0))) == [None]


def test_the_header_of_a_redirect_counts(bench: Bench, web: OwnersWeb) -> None:
    headers = {"Location": "/a.jpg", "X-Robots-Tag": "noai"}
    web.answers["/old.jpg"] = Said(status=301, headers=headers)

    (outcome,) = bench.run(linked(f"{web.url}/old.jpg", 0))

    assert str(outcome) == f"opted_out: x_robots_tag noai at {web.url}/old.jpg"


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        (ROBOTS, NO, "robots_txt"),
        (ROBOTS, "User-agent: kaption\nDisallow: /*.jpg", "robots_txt"),
        (ROBOTS, "User-agent: *\nContent-Signal: ai-train=no", "content_signal"),
        (TDM_REP, '[{"location": "*", "tdm-reservation": 1}]', "tdm_reservation"),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_the_files_of_an_images_server_count(
    bench: Bench, web: OwnersWeb, path: str, body: str, kind: str, redirected: bool
) -> None:
    ignoring = bench.stage(policy=policy(ignore_opt_outs=[kind]))
    with OwnersWeb() as owner:
        owner.answers[path] = Said(body.encode())
        moved = Said(status=302, headers={"Location": f"{web.url}/a.jpg"})
        owner.answers["/a.jpg"] = moved if redirected else web.answers["/a.jpg"]

        refused = bench.run(*(linked(f"{owner.url}/a.jpg", n) for n in (0, 1)))
        kept = bench.run(linked(f"{owner.url}/a.jpg", 2), stage=ignoring)

    assert reasons([*refused, *kept]) == [Reason.OPTED_OUT, Reason.OPTED_OUT, None]
    assert kind in str(refused[0])
    # A site that is known to forbid an image is not asked for the image again.
    assert owner.requests["/a.jpg"] == 2


def test_a_header_overrides_the_servers_file(bench: Bench, web: OwnersWeb) -> None:
    web.answers[TDM_REP] = Said(b'[{"location": "*", "tdm-reservation": 1}]')
    web.answers["/free.jpg"] = Said(plain("JPEG"), headers={"TDM-Reservation": "0"})

    outcomes = bench.run(linked(f"{web.url}/free.jpg", 0), linked(f"{web.url}/a.jpg", 1))

    assert reasons(outcomes) == [None, Reason.OPTED_OUT]


TERMS = '<rsl><content url="/"><license>{}</license></content></rsl>'
PROHIBITS = TERMS.format("<prohibits>ai-train</prohibits>").encode()


def test_the_licence_that_an_answer_names_counts(bench: Bench, web: OwnersWeb) -> None:
    # Given images whose answers name a licence
    web.answers |= {
        "/no.xml": Said(PROHIBITS),
        "/yes.xml": Said(TERMS.format("<permits>all</permits>").encode()),
    }
    for name in ("no", "yes", "gone"):
        link = {"Link": f'</{name}.xml>; rel="license"; type="application/rsl+xml"'}
        web.answers[f"/{name}.jpg"] = Said(plain("JPEG"), headers=link)
    names = ("no", "yes", "gone")
    # When they are ingested
    outcomes = bench.run(*(linked(f"{web.url}/{name}.jpg", n) for n, name in enumerate(names)))
    # Then the terms decide, and terms that cannot be read refuse
    refused = Reason.OPTED_OUT
    assert reasons(outcomes) == [refused, None, refused]
    said = [str(outcome) for outcome in outcomes]
    assert said[0] == f"opted_out: rsl_licence prohibits ai-train at {web.url}/no.xml"
    assert "rsl_licence_unread" in said[2]


def test_of_several_licences_the_strictest_counts(bench: Bench, web: OwnersWeb) -> None:
    web.answers |= {
        ROBOTS: Said(b"License: /no.xml"),
        "/no.xml": Said(PROHIBITS),
        "/yes.xml": Said(TERMS.format("<permits>all</permits>").encode()),
    }
    link = {"Link": '</yes.xml>; rel="license"; type="application/rsl+xml"'}
    web.answers["/yes.jpg"] = Said(plain("JPEG"), headers=link)

    outcomes = bench.run(*(linked(f"{web.url}/yes.jpg", n) for n in range(2)))

    assert reasons(outcomes) == [Reason.OPTED_OUT] * 2


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ("<permits>all</permits>", None),
        ("<prohibits>ai-train</prohibits>", Reason.OPTED_OUT),
        ("<terms>A & B</terms>", Reason.OPTED_OUT),
    ],
)
def test_the_licence_that_a_page_names_is_read_if_its_image_is_fetched(
    bench: Bench, web: OwnersWeb, terms: str, reason: Reason | None
) -> None:
    web.answers["/l.xml"] = Said(TERMS.format(terms).encode())
    signal = OptOutSignal(kind="rsl_licence_unread", value=f"{web.url}/l.xml")
    fetched, sent = ImageSource(url=f"{web.url}/a.jpg"), ImageSource(inline=plain("JPEG"))

    def offered(image: ImageSource, number: int) -> Incoming[RawPair]:
        pair = raw_pair(number, text="A red vase", image=image, opt_out=(signal,))
        return incoming(pair, number)

    (outcome,) = bench.run(offered(fetched, 0))

    assert reasons([outcome]) == [reason]
    assert reason or emitted(outcome).opt_out == ()
    # The bytes of an image were taken when the page said something that nobody read.
    assert reasons(bench.run(offered(sent, 1))) == [Reason.OPTED_OUT]
    assert web.requests["/l.xml"] == 1


@pytest.mark.parametrize("kind", ["rsl_licence", "rsl_licence_unread"])
def test_a_licence_that_a_page_named_counts_unless_it_is_ignored(
    bench: Bench, web: OwnersWeb, kind: str
) -> None:
    signal = OptOutSignal(kind=kind, value="https://e.org/license.xml")
    image = ImageSource(url=f"{web.url}/a.jpg")
    record = incoming(raw_pair(0, text="A red vase", image=image, opt_out=(signal,)), 0)
    ignoring = bench.stage(policy=policy(ignore_opt_outs=[kind]))

    assert reasons(bench.run(record)) == [Reason.OPTED_OUT]
    assert reasons(bench.run(record, stage=ignoring)) == [None]


def test_a_server_that_fails_to_give_its_rules_is_refused_unless_that_is_ignored(
    bench: Bench, web: OwnersWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_rules, "PAUSE_S", 0.1)
    web.answers[ROBOTS] = Said(status=503)
    ignoring = bench.stage(policy=policy(ignore_opt_outs=["robots_txt_unreachable"]))

    refused = bench.run(linked(f"{web.url}/a.jpg", 0))
    kept = bench.run(linked(f"{web.url}/a.jpg", 1), stage=ignoring)

    assert reasons([*refused, *kept]) == [Reason.OPTED_OUT, None]
    assert "robots_txt_unreachable" in str(refused[0])


def test_a_server_without_the_image_is_not_asked_for_its_rules(
    bench: Bench, web: OwnersWeb
) -> None:
    assert reasons(bench.run(linked(f"{web.url}/gone.jpg", 0))) == [Reason.FETCH_STATUS]
    assert web.requests == {"/gone.jpg": 1}


def test_nothing_is_asked_and_nothing_refused_without_respect(bench: Bench, web: OwnersWeb) -> None:
    web.answers |= {ROBOTS: Said(NO.encode())}
    web.answers["/a.jpg"] = Said(IN_XMP, headers={"X-Robots-Tag": "noai"})
    stage = bench.stage(policy=policy(respect_opt_out=False))

    (outcome,) = bench.run(linked(f"{web.url}/a.jpg", 0), stage=stage)

    assert [one.kind for one in emitted(outcome).opt_out] == ["x_robots_tag", "xmp_data_mining"]
    assert web.requests == {"/a.jpg": 1}


@pytest.mark.parametrize("way", ["inline", "blob", "url"])
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (IN_XMP, "xmp_data_mining"),
        (jpeg_with(*app11(manifest())), "c2pa_training_mining"),
        (png_with((b"caBX", manifest(as_json=True))), "c2pa_training_mining"),
    ],
)
def test_what_the_file_says_counts_on_every_way_in(
    bench: Bench, web: OwnersWeb, data: bytes, kind: str, way: str
) -> None:
    web.answers["/a.jpg"] = Said(data)
    blob: BlobRef = bench.blobs.put(data, "image/jpeg")
    sources = {
        "inline": ImageSource(inline=data),
        "blob": ImageSource(blob=blob),
        "url": ImageSource(url=f"{web.url}/a.jpg"),
    }

    (refused,) = bench.run(message(sources[way], 0, "A red vase"))
    ignoring = bench.stage(policy=policy(ignore_opt_outs=[kind]))
    (kept,) = bench.run(message(sources[way], 1, "A red vase"), stage=ignoring)

    assert reasons([refused]) == [Reason.OPTED_OUT]
    assert f"{kind} " in str(refused)
    assert [(one.kind, one.source) for one in emitted(kept).opt_out] == [(kind, "image file")]


def test_a_redelivered_record_keeps_the_signals_that_it_came_with(
    bench: Bench, web: OwnersWeb
) -> None:
    web.answers["/a.jpg"] = Said(plain("JPEG"), headers={"X-Robots-Tag": "noai"})
    stage = bench.stage(policy=policy(ignore_opt_outs=["x_robots_tag"]))
    (first,) = bench.run(linked(f"{web.url}/a.jpg", 0), stage=stage)
    web.answers["/a.jpg"] = Said(status=404)

    (again,) = bench.run(linked(f"{web.url}/a.jpg", 0), stage=stage)

    assert emitted(again).opt_out == emitted(first).opt_out
    assert emitted(again).image == emitted(first).image


def test_an_image_with_broken_metadata_goes_on_and_is_counted(bench: Bench) -> None:
    before = UNREADABLE.labels("xmp")._value.get()

    outcomes = bench.run(raw(jpeg_with((0xE1, XMP_HEAD + b"<a><DataMining></b>")), 0))

    assert reasons(outcomes) == [None]
    assert UNREADABLE.labels("xmp")._value.get() == before + 1


@pytest.mark.parametrize(
    "user_agent",
    [
        "MyBot/2.0 (+https://example.org)",
        "mybot",
        "Mozilla/5.0 (compatible; MyBot/2.0; +https://x/)",
    ],
)
def test_the_name_in_the_user_agent_is_ours(bench: Bench, web: OwnersWeb, user_agent: str) -> None:
    web.answers[ROBOTS] = Said(b"User-agent: mybot\nDisallow: /")
    named = FETCH.model_copy(update={"user_agent": user_agent})

    ours = bench.run(linked(f"{web.url}/a.jpg", 0), stage=bench.stage(policy=policy(fetch=named)))
    others = bench.run(linked(f"{web.url}/a.jpg", 1))

    assert reasons([*ours, *others]) == [Reason.OPTED_OUT, None]
