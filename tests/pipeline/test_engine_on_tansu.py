"""The same engine on the embedded broker, which fences nothing: completeness only."""

from threading import Event

from kaption.schemas import RawPair, Reason
from kaption.workers.local import Tansu
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Incoming, Reject, abroad
from support.engine import POLICY, Stream, Toy, running, until


def test_every_record_has_its_outcome(tansu: Tansu, topic_prefix: str) -> None:
    stream = Stream(tansu.bootstrap, topic_prefix)
    texts: list[str | bytes] = ["text"] * 200
    texts[50], texts[60], texts[70] = "reject", "poison", b"no json"
    stream.produce(texts)
    # Tansu answers a join after half the session timeout
    policy = RuntimePolicy.model_validate(POLICY.model_dump() | {"session_timeout_s": 2.0})
    with running(Toy(), stream, policy) as worker:
        assert until(lambda: worker.records == 200)
        snapshot = worker.worker.progress.snapshot()
    assert (snapshot.emitted, snapshot.rejected, snapshot.dead) == (197, {"too_small": 1}, 2)
    assert worker.error is None


class Fetching(Toy):
    """Records that are ``silent`` wait for a server, in a lane, until it speaks."""

    def __init__(self) -> None:
        super().__init__(any_order=True)
        self.speaks = Event()

    def lane(self, message: Incoming[RawPair]) -> str | None:
        return "server" if message.record.text == "silent" else None

    def prepare(self, message: Incoming[RawPair]) -> str:
        if message.record.text == "silent":
            with abroad():
                self.speaks.wait(120)
            raise Reject(Reason.FETCH_TIMEOUT, "silent")
        return super().prepare(message)


def test_records_of_a_silent_server_hold_up_the_commits_and_no_other_work(
    tansu: Tansu, topic_prefix: str
) -> None:
    # Given three of four records with images of a server that does not answer
    stream = Stream(tansu.bootstrap, topic_prefix)
    stream.produce([["good", "silent", "silent", "silent"][n % 4] for n in range(1600)])
    stage = Fetching()
    policy = RuntimePolicy.model_validate(POLICY.model_dump() | {"session_timeout_s": 2.0})
    with running(stage, stream, policy) as worker:
        # Then all others are processed meanwhile, far behind the first one that waits
        assert until(lambda: len(stage.processed) == 400, 60)
        assert worker.records < 400
        # When it is given up, then every record has one outcome
        stage.speaks.set()
        assert until(lambda: worker.records == 1600, 60)
        snapshot = worker.worker.progress.snapshot()
    assert (snapshot.emitted, snapshot.rejected) == (400, {"fetch_timeout": 1200})
    assert (snapshot.held, worker.error) == (0, None)
    assert stream.outcomes() == stream.expected()
    assert set(stage.processed.values()) == {1}
