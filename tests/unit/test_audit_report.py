"""What decisions say: shares with intervals, agreement, and the threshold for a target."""

from datetime import UTC, datetime

import pytest

from kaption.schemas import (
    Audit,
    AuditState,
    Caption,
    CaptionKind,
    CleanPair,
    Provenance,
    StageTrace,
)
from kaption.workers.audit.report import LEAST, report
from support.training_samples import clean_pair

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCORER = ("r1", "p1")
A, C, R = AuditState.ACCEPTED, AuditState.CORRECTED, AuditState.REFUSED


def decided(
    number: int, state: AuditState, by: str = "ana", score: float = 0.3, language: str = "en"
) -> CleanPair:
    machine = Caption(text="a dog", kind=CaptionKind.VLM, model="m", score=score)
    human = Caption(text="a cat", kind=CaptionKind.HUMAN)
    trace = StageTrace(
        stage="select",
        software="kaption/0",
        config_hash="0",
        finished_at=NOW,
        seconds=0,
        models={"clip": SCORER[0]},
        preprocessing_id=SCORER[1],
    )
    return clean_pair(
        number,
        *((human, machine) if state is C else (machine,)),
        pair_id=f"pair-{number}",
        audit=Audit(state=state, by=by, at=NOW),
        provenance=Provenance(stages=(trace,)),
        detected_language=language,
    )


def test_shares_have_wilson_intervals_and_count_the_machines_text() -> None:
    made = [decided(n, A) for n in range(8)] + [decided(8, C), decided(9, R, language="de")]

    found = report(made, 0.9).shares

    share = found["all"]["all"]
    assert (share.accepted, share.judged) == (8, 10)
    # Wilson (1927) for 8 of 10 at 95 %
    assert (share.low, share.high) == pytest.approx((0.490, 0.943), abs=0.001)
    assert found["kind"].keys() == {"vlm"}
    assert found["model"].keys() == {"m"}
    assert found["language"]["de"].judged == 1
    assert found["score"]["0.30"].judged == 10


@pytest.mark.parametrize(
    ("others", "same", "alpha"),
    [([A, A, R, R], 4, 1.0), ([R, R, A, A], 0, -0.75), ([A, A, A, R], 3, 0.533)],
)
def test_agreement_is_that_of_pairs_with_two_people(
    others: list[AuditState], same: int, alpha: float
) -> None:
    ana = [decided(n, state) for n, state in enumerate([A, A, R, R])]
    ben = [decided(n, state, "ben") for n, state in enumerate(others)]

    found = report([*ana, *ben, decided(9, A)], 0.9)

    assert (found.pairs, found.judged_twice, found.same) == (5, 4, same)
    assert found.alpha == pytest.approx(alpha, abs=0.001)


def test_agreement_is_not_known_without_two_people_or_two_kinds_of_decisions() -> None:
    assert report([decided(0, A)], 0.9).alpha is None
    assert report([decided(0, A), decided(0, A, "ben")], 0.9).alpha is None
    assert report([], 0.9).shares == {
        name: {} for name in ("all", "model", "kind", "language", "source", "score")
    }


@pytest.mark.slow
def test_the_threshold_is_the_lowest_that_reaches_the_target() -> None:
    wrong = [decided(n, R, score=0.2 + n / 1000) for n in range(50)]
    right = [decided(100 + n, A, score=0.25 + n / 1000) for n in range(50)]

    target = report([*wrong, *right], 0.95).targets[SCORER]

    assert target.now.value == 0.5
    assert target.lowest == pytest.approx(0.2)
    assert target.threshold == pytest.approx(0.248)
    assert target.above is not None
    assert target.above.value >= 0.95


@pytest.mark.parametrize("rights", [LEAST - 1, 0])
def test_no_threshold_is_told_from_few_decisions(rights: int) -> None:
    made = [decided(n, R, score=0.2) for n in range(LEAST)]
    made += [decided(100 + n, A, score=0.3) for n in range(rights)]

    assert report(made, 0.95).targets[SCORER].threshold is None


def test_a_text_is_right_where_everybody_accepted_it() -> None:
    made = [decided(0, A), decided(0, R, "ben"), decided(1, A), decided(1, A, "ben")]

    assert report(made, 0.9).shares["all"]["all"].accepted == 1
