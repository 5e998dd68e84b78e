"""Commands as a new user types them, in a terminal: a mistake is one line, told soon."""

import os
import pty
import re
import select
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from kaption.workers.local import Tansu
from support.program import PROGRAM

pytestmark = pytest.mark.slow

_LIMIT_S = 300.0
_COLOURS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def terminal(*arguments: str | Path, **environment: str) -> tuple[int, str]:
    """Run the command in a pseudo terminal; its exit code and what the user saw."""
    child, screen = pty.fork()
    if child == 0:
        bare = {name: each for name, each in os.environ.items() if "KAPTION" not in name}
        os.execve(
            PROGRAM, [PROGRAM, *map(str, arguments)], {**bare, "COLUMNS": "400", **environment}
        )
    seen, end = b"", time.monotonic() + _LIMIT_S
    while time.monotonic() < end:
        if select.select([screen], [], [], 0.2)[0]:
            try:
                seen += os.read(screen, 65536)
            except OSError:  # the program has ended
                break
    else:
        os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    os.close(screen)
    return os.waitstatus_to_exitcode(status), _COLOURS.sub(b"", seen).decode(errors="replace")


def lines(said: str) -> list[str]:
    """What stays on the screen: no spinner, no empty line."""
    whole = (line.rpartition("\r")[2].strip() for line in said.replace("\r\n", "\n").split("\n"))
    return [line for line in whole if line and not re.match("[⠀-⣿]", line)]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"image": "https://a.example/a.jpg", "text": "a red house"}\n')
    return path


@pytest.mark.parametrize("command", [["run", "PAIRS", "OUT"], ["work", "all"], ["work", "select"]])
def test_without_models_the_presets_are_named(
    command: list[str], pairs: Path, tmp_path: Path
) -> None:
    places: dict[str, str | Path] = {"PAIRS": pairs, "OUT": tmp_path / "out"}
    code, said = terminal(*(places.get(each, each) for each in command))
    (line,) = lines(said)
    assert code == 1
    assert line.startswith("kaption: no model is chosen")
    assert "small (for a CPU), balanced (for a GPU of 16 GB), best" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"CLIP__MODEL": "ViT-B-33", "CLIP__PRETRAINED": "openai"}, "did you mean ViT-B-32"),
        ({"CLIP__MODEL": "ViT-B-32", "CLIP__PRETRAINED": "openia"}, "did you mean openai"),
        (
            {"CLIP__MODEL": "hf-hub:timm/no-such-model"},
            "the scorer model .* is not on this machine",
        ),
        ({"RECAPTION__TRANSFORMERS__MODEL": "no/model"}, "the captioner .* is not on this machine"),
        ({"RECAPTION__TRANSFORMERS__MODEL": "./none"}, "there is no such folder"),
    ],
)
def test_a_wrong_model_is_told_before_anything_starts(
    models: dict[str, str], said: str, pairs: Path, tmp_path: Path
) -> None:
    # Given a hub that does not answer, and a wrong name
    named = {f"KAPTION_{name}": value for name, value in models.items()}
    out, hub = tmp_path / "out", {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path)}
    # When a run is started
    code, shown = terminal("run", pairs, out, "--models", "demo", **named, **hub)
    # Then the last line says what is wrong, the first that a model is a toy, and there is no OUT
    toy, *others, error = lines(shown)
    assert code == 1
    assert "a toy that knows" in toy
    assert [line for line in others if not line.startswith("loading")] == []
    assert re.search(f"^kaption: .*{said}", error)
    assert not out.exists()


@pytest.fixture
def hub() -> Iterator[str]:
    """A hub that answers and knows no model."""

    class Nothing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()

        do_GET = do_HEAD  # noqa: N815  # http.server's name

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_model_that_the_hub_does_not_know_is_one_line(hub: str, tmp_path: Path) -> None:
    named = {
        "KAPTION_CLIP__MODEL": "hf-hub:timm/no-such-model",
        "KAPTION_RECAPTION__TRANSFORMERS__MODEL": "no/model",
    }
    code, said = terminal("doctor", "--no-servers", HF_ENDPOINT=hub, HF_HOME=str(tmp_path), **named)
    scorer, captioner, checks = lines(said)
    assert code == 1
    assert scorer.startswith(
        "wrong  scorer: the scorer model 'hf-hub:timm/no-such-model' cannot be"
    )
    assert captioner.startswith(
        "wrong  captioners: the captioner model 'no/model' cannot be loaded"
    )
    assert checks.startswith("ok")


def test_servers_that_do_not_answer_end_a_run_and_a_worker(pairs: Path, tmp_path: Path) -> None:
    out, away = tmp_path / "out", "127.0.0.1:1"
    for server, setting in (
        (["--kafka", away], "kafka.bootstrap"),
        (["--redis", f"redis://{away}"], "redis.url"),
        (["--store", "s3://bucket"], "store.url"),
    ):
        s3 = {"ENDPOINT": f"http://{away}", "ACCESS_KEY": "a", "SECRET_KEY": "b"}
        given = {f"KAPTION_STORE__{name}": value for name, value in s3.items()}
        code, said = terminal("run", pairs, out, "--models", "demo", *server, **given)
        assert (code, out.exists()) == (1, False)
        assert setting in lines(said)[-1]
        assert len(lines(said)) == 2  # the other says that the models are toys


@pytest.mark.parametrize("store", ["/proc/none", "/proc/1/store", "/dev/null/store"])
def test_a_store_that_cannot_be_written_ends_a_run_before_models_are_loaded(
    store: str, pairs: Path, tmp_path: Path
) -> None:
    code, said = terminal("run", pairs, tmp_path / "out", "--models", "demo", "--store", store)
    assert (code, (tmp_path / "out").exists()) == (1, False)
    _, error = lines(said)  # the other says that the models are toys
    assert error.startswith("kaption: ")
    assert store in error


def test_a_crawl_without_a_broker_ends_at_once() -> None:
    code, said = terminal("crawl", KAPTION_KAFKA__BOOTSTRAP="127.0.0.1:1")
    (line,) = lines(said)
    assert code == 1
    assert line.startswith("kaption: no Kafka broker answers")


def test_a_worker_tells_a_port_in_use_and_a_missing_redis(tansu: Tansu, tmp_path: Path) -> None:
    given = {"KAPTION_KAFKA__BOOTSTRAP": tansu.bootstrap, "KAPTION_STORE__URL": str(tmp_path)}
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = terminal("work", "ingest", KAPTION_HEALTH__PORT=port, **given)
    assert (code, len(lines(said))) == (1, 1)
    assert f"health.port {port} of 0.0.0.0 cannot be used" in said
    nowhere = {"KAPTION_HEALTH__HOST": "192.0.2.1", "KAPTION_HEALTH__PORT": "0"}
    code, said = terminal("work", "ingest", **nowhere, **given)
    assert (code, len(lines(said))) == (1, 1)
    assert "correct KAPTION_HEALTH__HOST" in said
    away = {"KAPTION_REDIS__URL": "redis://127.0.0.1:1", "KAPTION_HEALTH__PORT": "0"}
    code, said = terminal("work", "ingest", **given, **away)
    assert (code, len(lines(said))) == (1, 1)
    assert "redis.url" in said


def test_produce_says_what_is_missing(pairs: Path, tansu: Tansu, topic_prefix: str) -> None:
    began = time.monotonic()
    code, said = terminal("produce", pairs, KAPTION_KAFKA__BOOTSTRAP="127.0.0.1:1")
    assert (code, len(lines(said))) == (1, 1)
    assert "no broker answers at 127.0.0.1:1" in said
    assert "KAPTION_KAFKA__BOOTSTRAP" in said
    assert time.monotonic() - began < 30
    given = {
        "KAPTION_KAFKA__BOOTSTRAP": tansu.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": topic_prefix,
    }
    code, said = terminal("produce", pairs, **given)
    assert (code, len(lines(said))) == (1, 1)
    assert "run `kaption topics create`" in said


@pytest.mark.parametrize("place", ["file/out", "/proc/none/out", "/dev/full"])
def test_a_folder_that_cannot_be_written_is_one_line(
    place: str, pairs: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, said = terminal("run", pairs, tmp_path / place, "--models", "demo")
    assert code == 1
    assert lines(said)[-1].startswith("kaption: ")
    assert "Traceback" not in said
