"""People take decisions back: what the pair is then, whoever else decided, at whichever server."""

from pathlib import Path

import pytest

from kaption.objectstore import open_store
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.schemas import Caption, CaptionKind, CleanPair
from kaption.schemas.topics import AUDITED, CLEAN
from kaption.workers.audit.decision import Verdict
from kaption.workers.audit.desk import AuditDesk
from kaption.workers.local import Tansu
from support.auditing import AuditSite, audit_site

pytestmark = pytest.mark.slow

PEOPLE = {"a": "ana", "b": "ben"}
VERDICTS = {"A": Verdict.ACCEPT, "E": Verdict.EDIT, "R": Verdict.REJECT}
MACHINE = "the machine's"
REFUSED = "refused"


@pytest.fixture
def site(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    """Two people judge each pair."""
    return audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path, double_fraction=1.0)


def decide(desk: AuditDesk, by: str, pair: CleanPair, verdict: Verdict, text: str = "") -> None:
    desk.waiting(1)  # reads what other servers wrote, as the page does
    seen = desk.seen(pair.pair_id, by)
    assert desk.decide(by, pair.pair_id, verdict, seen, text=text)


def mark(desk: AuditDesk, by: str) -> str:
    last = desk.last(by)
    assert last is not None
    assert last.audit.at is not None
    return last.audit.at.isoformat()


def state(site: AuditSite, pair: CleanPair) -> str:
    """What readers of pairs.clean and of shards have of the pair."""
    messages = site.read(CLEAN)
    versions = [m.version for m in messages if isinstance(m, CleanPair)]
    assert versions == sorted(set(versions))
    refused = Takedowns(open_store(site.settings.store), "dataset").covers(pair)
    newest = messages[-1]
    if isinstance(newest, str):
        assert refused
        return REFUSED
    assert not refused
    text = newest.captions[0].text
    return MACHINE if text == pair.captions[0].text else text


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ("aE bA aU", MACHINE),
        ("aE bA bU", "a's"),
        ("aE bE aU", "b's"),
        ("aE bE bU", "a's"),
        ("aR bA aU", MACHINE),
        ("aR bE aU", "b's"),
        ("aE bR bU", "a's"),
        ("aE bR aU", REFUSED),
        ("aR bR aU", REFUSED),
        ("aR bR aU bU", MACHINE),
        ("aE bE bU aU", MACHINE),
        ("aR bE aU aE bU", "a's"),
        ("aA bR bU bE aU", "b's"),
    ],
)
@pytest.mark.parametrize("servers", [1, 2])
def test_undo_leaves_what_the_other_persons_decision_asks_for(
    site: AuditSite, steps: str, left: str, servers: int
) -> None:
    pair = site.publish(1)
    with site.desk() as one, site.desk() as two:
        marks: dict[str, str] = {}
        for number, step in enumerate(steps.split()):
            who, what = step[0], step[1]
            desk, by = (one, two)[number % servers], PEOPLE[who]
            if what == "U":
                assert desk.undo(by, marks[who]) is not None
            else:
                decide(desk, by, pair, VERDICTS[what], f"{who}'s")
                marks[who] = mark(desk, by)

        assert state(site, pair) == left
        assert one.waiting(9) == two.waiting(9)


@pytest.mark.parametrize("verdict", [Verdict.ACCEPT, Verdict.EDIT, Verdict.REJECT])
def test_a_server_that_started_later_undoes_once(site: AuditSite, verdict: Verdict) -> None:
    pair = site.publish(1)
    with site.desk() as before:
        decide(before, "ana", pair, verdict, "ana's")
        seen = mark(before, "ana")

    with site.desk() as after:
        assert after.undo("ana", seen) is not None
        written = len(site.read(AUDITED)), len(site.read(CLEAN))
        assert after.undo("ana", seen) is None

        assert state(site, pair) == MACHINE
        assert (len(site.read(AUDITED)), len(site.read(CLEAN))) == written
        shown = after.next("ana")
        assert shown is not None
        assert shown.pair_id == pair.pair_id


@pytest.mark.parametrize("verdict", [Verdict.EDIT, Verdict.REJECT])
@pytest.mark.parametrize("again", [False, True], ids=["decided", "decided and undone before"])
def test_undo_after_the_pair_came_again_leaves_what_came(
    site: AuditSite, verdict: Verdict, again: bool
) -> None:
    pair = site.publish(1)
    with site.desk() as desk:
        for _ in range(1 + again):
            decide(desk, "ana", pair, verdict, "ana's")
            seen = mark(desk, "ana")
            if again and len(site.read(AUDITED)) == 1:
                desk.undo("ana", seen)
        # When the pair went through the stages again, with another text
        newer = (Caption(text="a newer text", kind=CaptionKind.VLM, model="m", score=0.3),)
        highest = max(m.version for m in site.read(CLEAN) if isinstance(m, CleanPair))
        came = site.publish(1, captions=newer, version=highest + 1)

        assert desk.undo("ana", seen) is not None

    newest = site.read(CLEAN)[-1]
    assert isinstance(newest, CleanPair)
    assert newest.captions == newer
    assert newest.version > came.version
    assert not Takedowns(open_store(site.settings.store), "dataset").covers(pair)


def test_undo_after_a_skip_takes_the_last_decision_back_and_not_the_skip(site: AuditSite) -> None:
    judged, skipped = site.publish(1), site.publish(2)
    with site.desk() as desk:
        decide(desk, "ana", judged, Verdict.EDIT, "ana's")
        seen = mark(desk, "ana")
        desk.skip("ana", skipped.pair_id)
        assert desk.next("ana") is None

        assert desk.undo("ana", seen) is not None

        shown, other = desk.next("ana"), desk.next("ben")
    assert shown is not None
    assert other is not None
    assert (shown.pair_id, other.pair_id) == (judged.pair_id, skipped.pair_id)
    assert len(site.read(AUDITED)) == 1 + 1


def test_undo_again_and_again_takes_back_what_came_before(site: AuditSite) -> None:
    pairs = [site.publish(number) for number in range(3)]
    with site.desk() as one, site.desk() as two:
        for pair in pairs:
            decide(one, "ana", pair, Verdict.REJECT)
        for desk, pair in zip((two, one, two), reversed(pairs), strict=True):
            desk.waiting(1)
            undone = desk.undo("ana", mark(desk, "ana"))
            assert undone is not None
            assert undone.pair_id == pair.pair_id
        assert two.last("ana") is None

    taken_down = Takedowns(open_store(site.settings.store), "dataset")
    assert not any(taken_down.covers(pair) for pair in pairs)


def test_a_pair_of_two_people_waits_for_the_second_at_once_and_comes_back_to_who_undoes(
    site: AuditSite,
) -> None:
    pair = site.publish(1)
    with site.desk() as one, site.desk() as two:
        assert one.next("ana") is not None
        assert two.next("ben") is None  # ana has it
        decide(one, "ana", pair, Verdict.REJECT)
        assert one.next("ana") is None
        shown = two.next("ben")
        assert shown is not None
        decide(two, "ben", pair, Verdict.EDIT, "ben's")
        assert two.next("cem") is None

        one.waiting(1)
        assert one.undo("ana", mark(one, "ana")) is not None

        again = one.next("ana")
        assert again is not None
        assert again.pair_id == pair.pair_id
        assert two.next("cem") is None  # ana has it once more
    assert state(site, pair) == "ben's"
