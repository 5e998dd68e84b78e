"""Commands and the recaption stage with a caption server: the captioner `openai` end to end."""

import json
import random
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest
import redis
import skimage.data

from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CaptionedPair, CaptionKind
from kaption.testing.records import scored_pair, store_image
from kaption.workers.plugins import load_captioners
from kaption.workers.policy.recaption import OpenAIPolicy, RecaptionPolicy, SamplingPolicy
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Emit
from kaption.workers.runtime.stop import StopRequest
from kaption.workers.stages.recaption import RecaptionParts, RecaptionStage
from kaption.workers.stores.captions import CaptionCache
from support.caption_server import CaptionProxy, Reply, TransformersServe, error, times
from support.entries import bisection, prepared_entry
from support.model_stages import NOW, FolderBlobs
from support.program import kaption

pytestmark = pytest.mark.slow


@pytest.fixture
def proxy(caption_server: TransformersServe) -> Iterator[CaptionProxy]:
    with CaptionProxy(caption_server.url) as proxy:
        yield proxy


@pytest.fixture
def stage(
    proxy: CaptionProxy, caption_server: TransformersServe, redis_url: str, tmp_path: Path
) -> RecaptionStage:
    policy = RecaptionPolicy(
        captioners=("openai",),
        openai=OpenAIPolicy(
            base_url=proxy.url,
            model=caption_server.model,
            sampling=SamplingPolicy(max_new_tokens=5),
            concurrency=2,
            input_price=2.0,
            output_price=10.0,
        ),
    )
    made = RecaptionStage(
        policy,
        RecaptionParts(
            FolderBlobs(tmp_path),
            CaptionCache(redis.Redis.from_url(redis_url), "t:"),
            load_captioners,
        ),
        now=lambda: NOW,
    )
    made.setup()
    proxy.forget()
    return made


def entries(stage: RecaptionStage, folder: Path, count: int = 3):
    blobs = FolderBlobs(folder)
    pairs = [
        scored_pair(n, clean_text="a red star", image=store_image(blobs, n), original=None)
        for n in range(count)
    ]
    return [prepared_entry(stage, n, pair) for n, pair in enumerate(pairs)]


def captioned(entry) -> CaptionedPair:
    assert isinstance(entry.outcome, Emit)
    ((_, record),) = entry.outcome.outputs
    assert isinstance(record, CaptionedPair)
    return record


def refuse(proxy: CaptionProxy, entry) -> None:
    """Let the server refuse each request about the entry's image."""
    sent = b64encode(entry.prepared.context.stored).decode()
    refusal = Reply(400, error("cannot identify image file"))
    proxy.faults.append(lambda body: refusal if sent in json.dumps(body) else None)


def test_one_bad_image_costs_the_captions_of_one_record(
    stage: RecaptionStage, proxy: CaptionProxy, tmp_path: Path
) -> None:
    batch = entries(stage, tmp_path)
    refuse(proxy, batch[1])

    bisection(stage).run(batch)

    assert [bool(captioned(each).candidates) for each in batch] == [True, False, True]


def test_a_refused_record_is_asked_about_again_and_the_others_are_cached(
    stage: RecaptionStage, proxy: CaptionProxy, tmp_path: Path
) -> None:
    batch = entries(stage, tmp_path)
    refuse(proxy, batch[1])
    bisection(stage).run(batch)
    proxy.faults.clear()

    again = entries(stage, tmp_path)
    bisection(stage).run(again)

    assert [each.prepared.image is None for each in again] == [True, False, True]
    assert all(captioned(each).candidates for each in again)


def test_the_trace_tells_the_tokens_and_their_cost_and_none_of_cached_captions(
    stage: RecaptionStage, proxy: CaptionProxy, tmp_path: Path
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    proxy.change = lambda payload: payload.update(usage=usage)
    spent = []

    for _ in range(2):
        (entry,) = entries(stage, tmp_path, 1)
        bisection(stage).run([entry])
        trace = captioned(entry).provenance.stages[-1]
        spent.append((trace.tokens, trace.cost))

    assert spent == [(535, pytest.approx(500 * 2e-6 + 35 * 1e-5)), (0, 0)]


def test_while_the_server_is_down_nothing_is_dead_and_nothing_is_paid_for_twice(
    stage: RecaptionStage, proxy: CaptionProxy, tmp_path: Path
) -> None:
    batch = entries(stage, tmp_path)
    faults = [times(1, Reply(status)) for status in (503, 429, 500, 502, 200)]
    proxy.faults.extend(faults)

    bisection(stage).run(batch)

    assert all(captioned(each).candidates for each in batch)
    assert len(proxy.seen) == 3 * 5 + len(faults)


def test_a_stop_during_the_wait_that_a_server_asks_for_takes_effect_at_once(
    stage: RecaptionStage, proxy: CaptionProxy, tmp_path: Path
) -> None:
    # Given a server that asks for ten minutes of patience
    batch = entries(stage, tmp_path, 1)
    proxy.faults.append(times(99, Reply(429, headers={"retry-after": "600"})))
    stop = StopRequest(time.monotonic)
    backoff = Backoff(RuntimePolicy(), random.Random(1), stop, lambda error: None)
    # When the worker is asked to stop half a second later
    timer = Timer(0.5, stop.ask)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        backoff.call(lambda: stage.process([(each.message, each.prepared) for each in batch]))
    # Then it stops then
    assert time.monotonic() - began < 5
    timer.join()


def test_doctor_shows_a_caption_or_what_is_wrong(
    proxy: CaptionProxy, caption_server: TransformersServe, tmp_path: Path
) -> None:
    config = settings(tmp_path, proxy, caption_server)
    doctor = ("doctor", "--no-servers", "--config", config, "--models", "demo")

    right = kaption(*doctor)
    proxy.faults.append(times(99, Reply(401, error("no such key s3cret-1"))))
    wrong = kaption(*doctor)

    assert right.returncode == 0, right.stdout + right.stderr
    assert "openai" in right.stdout
    assert "calls a red disc" in right.stdout
    assert wrong.returncode == 1
    assert "recaption.openai.api_key" in wrong.stdout


def test_a_run_waits_for_its_caption_server_and_its_captions_come_out(
    proxy: CaptionProxy, caption_server: TransformersServe, tmp_path: Path
) -> None:
    # Given photographs, and a caption server that is down at the start and fails now and then
    lines = []
    for name, text in (("coffee.png", "a cup of coffee"), ("chelsea.png", "a tabby cat")):
        shutil.copy(Path(skimage.data.__file__).parent / name, tmp_path)
        lines.append(json.dumps({"image": name, "text": text}))
    source = tmp_path / "pairs.jsonl"
    source.write_text("\n".join(lines))
    config, out = settings(tmp_path, proxy, caption_server), tmp_path / "out"
    proxy.faults.append(times(2, Reply(503, headers={"retry-after": "1"})))
    # When the pipeline runs over them
    key = {"KAPTION_RECAPTION__OPENAI__API_KEY": "s3cret-1"}
    ended = kaption("run", source, out, "--config", config, "--models", "demo", settings=key)
    # Then both pairs have captions of the server's model
    assert ended.returncode == 0, ended.stderr
    store = FolderStore(out / "store")
    rows = [
        row
        for each in read_manifests(store, "dataset")
        for row in read_rows(store, "dataset", each)
    ]
    made = [caption for row in rows for caption in row["captions"]]
    assert len(rows) == 2
    assert {it["kind"] for it in made} & {CaptionKind.VLM.value, CaptionKind.FUSED.value}
    assert {it["model"] for it in made if it["model"]} == {caption_server.model}
    # And the key was sent and is nowhere in what was written
    assert set(proxy.keys) == {"Bearer s3cret-1"}
    written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"s3cret-1" not in written + (ended.stdout + ended.stderr).encode()


def settings(folder: Path, proxy: CaptionProxy, server: TransformersServe) -> Path:
    path = folder / "kaption.toml"
    path.write_text(f"""
[score]
good_score = 2.0
[select]
min_score = -1.0
margin = 0
min_words = 1
keep = 8
checks = []
[recaption]
captioners = ["openai"]
[recaption.openai]
base_url = "{proxy.url}"
model = "{server.model}"
[recaption.openai.sampling]
max_new_tokens = 8
""")
    return path
