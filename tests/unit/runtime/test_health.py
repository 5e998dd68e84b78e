import json
import socket
import struct
import urllib.error
import urllib.request
from threading import Event, Thread
from typing import cast

import pytest

from kaption.workers.runtime import metrics
from kaption.workers.runtime.health import HealthServer
from kaption.workers.runtime.worker import Worker

pytestmark = pytest.mark.slow


class Probed:
    name = "toy"
    alive = True
    problem: str | None = None

    def not_ready(self) -> str | None:
        return self.problem


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_probes_follow_the_worker_and_name_what_is_missing() -> None:
    worker = Probed()
    with HealthServer([cast(Worker, worker)], 0, "127.0.0.1") as server:
        assert get(server.port, "/healthz")[0] == 200
        assert get(server.port, "/readyz")[0] == 200
        worker.problem = "redis is down"
        status, body = get(server.port, "/readyz")
        assert (status, json.loads(body)) == (503, {"problems": {"toy": "redis is down"}})
        worker.alive = False
        assert get(server.port, "/healthz")[0] == 503


def test_metrics_are_served_with_what_to_do() -> None:
    metrics.OUTCOMES.labels("toy", "emitted", "").inc()
    with HealthServer([cast(Worker, Probed())], 0, "127.0.0.1") as server:
        body = get(server.port, "/metrics")[1]
    assert 'kaption_outcomes_total{outcome="emitted",reason="",stage="toy"}' in body
    assert "look at the source of the pairs" in body


@pytest.mark.parametrize("sent", [b"GET /rea", b"GET /readyz HTTP/1.1\r\n\r\n"])
def test_a_prober_that_hangs_up_leaves_no_traceback(
    capfd: pytest.CaptureFixture[str], sent: bytes
) -> None:
    gone = Event()

    class Slow(Probed):
        """Answers when the prober is gone."""

        def not_ready(self) -> str | None:
            gone.wait(30)
            return None

    with HealthServer([cast(Worker, Slow())], 0, "127.0.0.1") as server:
        prober = socket.create_connection(("127.0.0.1", server.port))
        prober.sendall(sent)
        prober.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        prober.close()  # by a reset
        gone.set()
        assert get(server.port, "/healthz")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("first", [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\n\r\n"])
def test_healthz_needs_no_thread(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    asked = Event()

    def full(_: Thread) -> None:
        asked.set()
        raise RuntimeError("can't start new thread")

    with HealthServer([cast(Worker, Probed())], 0, "127.0.0.1") as server:
        # Given a process that gets no more threads, as in a pod that is full of them
        monkeypatch.setattr(Thread, "start", full)
        # When a prober's request comes at once, or a part of it after it was accepted
        with socket.create_connection(("127.0.0.1", server.port), 30) as prober:
            prober.sendall(first)
            if rest := b"GET /healthz HTTP/1.1\r\n\r\n".removeprefix(first):
                assert asked.wait(30)
                prober.sendall(rest)
            # Then it is told alive all the same
            answer = b"".join(iter(lambda: prober.recv(1_000), b""))
        assert answer.startswith(b"HTTP/1.0 200 OK")
        assert answer.endswith(b'{"problems": {}}')


@pytest.mark.parametrize("begin", [b"", b"GET /hea"])
def test_a_prober_that_sends_slowly_keeps_no_other_waiting(begin: bytes) -> None:
    with (
        HealthServer([cast(Worker, Probed())], 0, "127.0.0.1") as server,
        socket.create_connection(("127.0.0.1", server.port), 30) as slow,
    ):
        slow.sendall(begin)
        assert get(server.port, "/healthz")[0] == 200
        # And it gets its answer
        slow.sendall(b"GET /healthz HTTP/1.1\r\n\r\n".removeprefix(begin))
        assert slow.recv(100).startswith(b"HTTP/1.0 200 OK")
