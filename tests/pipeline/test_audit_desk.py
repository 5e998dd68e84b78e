"""People judge pairs: what is written, for whom, and how often."""

from pathlib import Path

import pytest

from kaption.objectstore import open_store
from kaption.objectstore.dataset.takedowns import Takedowns, add_takedown, takedown_keys
from kaption.schemas import AuditState, CaptionKind, CleanPair, Takedown, TakedownKind
from kaption.schemas.topics import AUDITED, CLEAN
from kaption.workers.audit.decision import UnusableText, Verdict
from kaption.workers.audit.desk import AuditDesk, GoneError
from kaption.workers.local import Tansu
from kaption.workers.safety.policy import PersonalDataPolicy, SafetyPolicy
from kaption.workers.wiring import build_takedowns
from support.auditing import AuditSite, audit_site

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    return audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path)


def decide(desk: AuditDesk, by: str, verdict: Verdict, text: str = "") -> CleanPair:
    pair = desk.next(by)
    assert pair is not None
    assert desk.decide(by, pair.pair_id, verdict, desk.seen(pair.pair_id, by), text=text)
    return pair


def test_a_correction_is_the_next_version_with_the_persons_text_alone(site: AuditSite) -> None:
    site.publish(1)
    with site.desk() as desk:
        decide(desk, "ana", Verdict.EDIT, "  a red\u200b dot \n on blue ")

    *_, newest = site.read(CLEAN)
    assert isinstance(newest, CleanPair)
    (caption,) = newest.captions
    assert (caption.text, caption.kind) == ("a red dot on blue", CaptionKind.HUMAN)
    assert (newest.version, newest.audit.state) == (2, AuditState.CORRECTED)
    (decision,) = site.read(AUDITED)
    assert isinstance(decision, CleanPair)
    assert [each.kind for each in decision.captions] == [CaptionKind.HUMAN, CaptionKind.VLM]
    assert (decision.audit.by, decision.version) == ("ana", 2)


@pytest.mark.parametrize("lost", [False, True], ids=["stored", "under an earlier prefix"])
def test_a_refusal_withdraws_the_pair_and_undo_brings_it_back(site: AuditSite, lost: bool) -> None:
    pair = site.publish(1)
    store = open_store(site.settings.store)
    with site.desk() as desk:
        decide(desk, "ana", Verdict.REJECT)

        assert site.read(CLEAN)[-1] == pair.pair_id
        assert Takedowns(store, "dataset").covers(pair)
        assert build_takedowns(site.settings).covering([pair]) != [None]
        for key in takedown_keys(store, "dataset") if lost else ():
            store.delete(key)
        assert build_takedowns(site.settings).covering([pair]) != [None]
        last = desk.last("ana")
        assert last is not None
        assert last.audit.at is not None
        assert desk.undo("ana", last.audit.at.isoformat()) is not None

        back = site.read(CLEAN)[-1]
        assert isinstance(back, CleanPair)
        assert (back.version, back.captions) == (2, pair.captions)
        assert not Takedowns(store, "dataset").covers(pair)
        assert build_takedowns(site.settings).covering([pair]) == [None]
        assert desk.next("ana") is not None
        decide(desk, "ana", Verdict.EDIT, "a better text")
    versions = [it.version for it in site.read(CLEAN) if isinstance(it, CleanPair)]
    assert versions == [1, 2, 3]


def test_an_acceptance_leaves_pairs_clean_as_it_is(site: AuditSite) -> None:
    site.publish(1)
    with site.desk() as desk:
        decide(desk, "ana", Verdict.ACCEPT)

        assert desk.next("ana") is None
        assert desk.work("ana").last_hour == 1
    assert len(site.read(CLEAN)) == 1
    (decision,) = site.read(AUDITED)
    assert isinstance(decision, CleanPair)
    assert decision.audit.state is AuditState.ACCEPTED


def test_people_at_several_servers_get_different_pairs(site: AuditSite) -> None:
    for number in range(6):
        site.publish(number)
    with site.desk() as one, site.desk() as two:
        desks = [("ana", one), ("ben", two), ("cem", one), ("dan", two)]
        shown = [desk.next(by) for by, desk in desks]
        again = [desk.next(by) for by, desk in reversed(desks)]

    names = [pair and pair.pair_id for pair in shown]
    assert len(set(names)) == 4
    assert [pair and pair.pair_id for pair in again] == names[::-1]


def test_a_request_that_comes_again_is_one_decision_at_any_server(site: AuditSite) -> None:
    site.publish(1)
    with site.desk() as one, site.desk() as two:
        pair = one.next("ana")
        assert pair is not None
        asked = ("ana", pair.pair_id, Verdict.REJECT, "")

        assert one.decide(*asked)
        assert not one.decide(*asked)
        assert not two.decide(*asked)

        # It also stays one after the person took it back.
        last = two.last("ana")
        assert last is not None
        assert last.audit.at is not None
        two.undo("ana", last.audit.at.isoformat())
        assert not one.decide(*asked)
    assert len(site.read(AUDITED)) == 2


def test_a_pair_of_two_people_goes_to_both_and_one_refusal_holds(
    tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path
) -> None:
    site = audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path, double_fraction=1.0)
    pair = site.publish(1)
    with site.desk() as desk:
        decide(desk, "ana", Verdict.REJECT)
        assert desk.next("ana") is None
        decide(desk, "ben", Verdict.EDIT, "a better text")
        assert desk.next("cem") is None

    assert site.read(CLEAN)[-1] == pair.pair_id
    assert Takedowns(open_store(site.settings.store), "dataset").covers(pair)


def test_what_was_claimed_by_another_or_skipped_or_taken_down(site: AuditSite) -> None:
    pair = site.publish(1)
    with site.desk() as desk:
        assert desk.next("ana") is not None
        assert desk.next("ben") is None
        with pytest.raises(GoneError, match="another person"):
            desk.decide("ben", pair.pair_id, Verdict.ACCEPT, "")

        desk.skip("ana", pair.pair_id)

        assert desk.next("ana") is None
        assert desk.next("ben") is not None
        with pytest.raises(UnusableText, match="empty"):
            desk.decide("ben", pair.pair_id, Verdict.EDIT, "", text=" \u200b ")
        with pytest.raises(GoneError, match="sample"):
            desk.decide("ben", "no such pair", Verdict.ACCEPT, "")
    assert site.read(AUDITED) == []


def test_a_takedown_keeps_a_pair_from_coming_back(site: AuditSite) -> None:
    pair = site.publish(1)
    with site.desk() as desk:
        decide(desk, "ana", Verdict.REJECT)
        last = desk.last("ana")
        assert last is not None
        assert last.audit.at is not None
        gone = Takedown(kind=TakedownKind.PAIR, value=pair.pair_id, requested_at=last.audit.at)
        add_takedown(open_store(site.settings.store), "dataset", gone)
        build_takedowns(site.settings).add([gone.takedown_id])

        assert desk.undo("ana", last.audit.at.isoformat()) is None
        assert desk.next("ben") is None
        with pytest.raises(GoneError, match="sample"):
            desk.decide("ben", pair.pair_id, Verdict.ACCEPT, "")
    assert site.read(CLEAN)[-1] == pair.pair_id


def test_personal_data_in_what_a_person_writes_are_masked_or_refused(site: AuditSite) -> None:
    pair = site.publish(1)
    written = "a shop, call +49 30 901820 or pay by 4111 1111 1111 1111"
    strict = site.settings.model_copy(
        update={"safety": SafetyPolicy(personal_data=PersonalDataPolicy(card="refuse"))}
    )
    with AuditSite(strict).desk() as desk:
        assert desk.next("ana") is not None
        with pytest.raises(UnusableText, match=r"personal data \(\[card\]\)"):
            desk.decide("ana", pair.pair_id, Verdict.EDIT, "", text=written)

    with site.desk() as desk:
        assert desk.decide("ana", pair.pair_id, Verdict.EDIT, "", text=written)

    newest = site.read(CLEAN)[-1]
    assert isinstance(newest, CleanPair)
    assert newest.captions[0].text == "a shop, call [telephone] or pay by [card]"
    assert set(newest.captions[0].masked) == {"card", "telephone"}
