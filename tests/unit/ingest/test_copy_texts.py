"""Ingest remembers the alt texts of the copies that it refuses."""

import pytest

from kaption.schemas import OptOutSignal, Position, Reason, Takedown, TakedownKind
from kaption.workers.demo.site import Page, Site
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.runtime.stage import Incoming
from kaption.workers.stages.ingest.stage import IngestStage
from support.ingest_bench import NOW, Bench, emitted, image_bytes, linked, raw, reasons

pytestmark = pytest.mark.slow

KEPT = Position("pairs.raw", 0, 0)


def texts(bench: Bench) -> set[str]:
    (found,) = bench.copies.get([str(KEPT)])
    return {caption.text for caption in found}


def test_texts_of_exact_and_near_copies_and_of_their_copies_are_remembered(bench: Bench) -> None:
    # Given an accepted image
    bench.run(raw(image_bytes(7), 0, "A red vase"))

    # When copies of it come: the same bytes, another file, and that file again
    smaller = image_bytes(7, 224, "JPEG")
    outcomes = bench.run(
        raw(image_bytes(7), 1, "A <b>vase</b> made of glass"), raw(smaller, 2, "Glass on wood")
    )
    outcomes += bench.run(raw(smaller, 3, "A glass vase on wood"), raw(image_bytes(8), 4, "A dog"))

    # Then they are refused as ever, and their cleaned texts belong to the accepted image
    assert reasons(outcomes) == [
        *(Reason.DUPLICATE, Reason.NEAR_DUPLICATE, Reason.DUPLICATE),
        None,
    ]
    assert texts(bench) == {"A vase made of glass", "Glass on wood", "A glass vase on wood"}


def test_a_copy_whose_page_opts_out_brings_no_text(bench: Bench) -> None:
    # Given an accepted image
    bench.run(raw(image_bytes(7), 0, "A red vase"))

    # When a copy comes whose page refuses such use
    copy = raw(image_bytes(7), 1, "A secret vase")
    said = OptOutSignal(kind="robots_meta", value="noai")
    record = copy.record.model_copy(update={"opt_out": (said,)})
    outcomes = bench.run(Incoming(record, copy.origin, copy.position))

    # Then
    assert reasons(outcomes) == [Reason.OPTED_OUT]
    assert texts(bench) == set()


def test_a_copy_that_was_taken_down_brings_no_text(bench: Bench) -> None:
    # Given an accepted image
    bench.run(raw(image_bytes(7), 0, "A red vase"))
    page = "https://gone.example/a"
    takedown = Takedown(kind=TakedownKind.DOMAIN, value="gone.example", requested_at=NOW)
    late = raw(image_bytes(7), 1, "A secret vase")
    late = Incoming(late.record.model_copy(update={"page_url": page}), late.origin, late.position)
    stage = bench.stage()
    batch = [(late, stage.prepare(late))]

    # When its pair was prepared before the takedown, and is processed after it
    bench.takedowns.add([takedown.takedown_id])
    outcomes = stage.process(batch)

    # Then
    assert reasons(outcomes) == [Reason.TAKEN_DOWN]
    assert texts(bench) == set()


def test_a_text_that_stands_at_too_many_images_is_not_remembered(bench: Bench) -> None:
    # Given a text at as many images as the policy allows
    policy = bench.policy.model_copy(update={"dedup": DedupPolicy(text_uses=2)})
    stage = bench.stage(policy=policy)
    common = "Click the picture to make it larger"
    bench.run(raw(image_bytes(7), 0, "A red vase"), stage=stage)
    bench.run(raw(image_bytes(8), 1, common), raw(image_bytes(9), 2, common), stage=stage)

    # When two copies come, one of them with that text
    bench.run(raw(image_bytes(7), 3, common.upper()), raw(image_bytes(7), 4, "A vase"), stage=stage)

    # Then
    assert texts(bench) == {"A vase"}


def later(bench: Bench) -> IngestStage:
    dedup = DedupPolicy(later_texts=True)
    return bench.stage(policy=bench.policy.model_copy(update={"dedup": dedup}))


def test_a_copy_with_a_new_text_sends_the_kept_pair_once_more_in_each_delivery(
    bench: Bench,
) -> None:
    # Given an accepted image
    kept = emitted(bench.run(raw(image_bytes(7), 0, "A red vase"), stage=later(bench))[0])

    # When an exact and a near copy come, and come again after a crash
    copies = [
        raw(image_bytes(7), 1, "A <b>vase</b> made of glass"),
        raw(image_bytes(7, 224, "JPEG"), 2, "Glass on wood"),
    ]
    found = [bench.run(*copies, stage=later(bench)) for _ in range(2)]

    # Then
    for outcomes in found:
        for copy, pair in zip(copies, map(emitted, outcomes), strict=True):
            assert pair.brought_by is not None
            assert pair.brought_by.pair_id == copy.record.pair_id
            assert pair == kept.model_copy(update={"brought_by": pair.brought_by})
    assert texts(bench) == {"A vase made of glass", "Glass on wood"}


def test_a_fetched_copy_sends_the_kept_pair_once_more_after_a_crash(bench: Bench) -> None:
    # Given an accepted image, and a copy of it on a web server
    stage = later(bench)
    bench.run(raw(image_bytes(7), 0, "A red vase"), stage=stage)
    with Site({"/vase.png": Page(image_bytes(7), "image/png")}) as site:
        copy = linked(f"{site.url}/vase.png", 1)

        # When it comes twice, the second time to another worker
        first = emitted(bench.run(copy, stage=stage)[0])
        second = emitted(bench.run(copy, stage=later(bench))[0])

    # Then
    assert first == second
    assert first.brought_by is not None


def test_known_and_own_texts_and_those_past_the_limit_send_nothing(bench: Bench) -> None:
    # Given an accepted image with as many later texts as the policy allows
    stage = later(bench)
    bench.run(raw(image_bytes(7), 0, "A red vase"), stage=stage)
    for number in range(bench.copies.limit):
        found = bench.run(raw(image_bytes(7), 1 + number, f"A vase, view {number}"), stage=stage)
        assert reasons(found) == [None]

    # When copies come with the pair's own text, a known one, none, and one more
    alts = ["a RED vase", "A vase, view 3", "", "A vase of glass"]
    found = bench.run(
        *[raw(image_bytes(7), 20 + at, alt) for at, alt in enumerate(alts)], stage=stage
    )

    # Then
    assert reasons(found) == [Reason.DUPLICATE] * 4
