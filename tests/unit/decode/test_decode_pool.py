"""Children that crash, hang or need too much are replaced. None outlives its parent."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.schemas import Reason
from kaption.workers.decode.decode import decode
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.pool import DecodePool
from kaption.workers.decode.process import DecodeProcess
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject
from support.photographs import opened, photograph, quadrants, saved, shows_quadrants, slow_jpeg

pytestmark = pytest.mark.slow

GOOD = saved(quadrants(), "JPEG")


@pytest.fixture(scope="module")
def slow() -> bytes:
    return slow_jpeg(4000)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(ImagePolicy(), 2) as made:
        yield made


def child_of(process: DecodeProcess) -> int:
    pid = process.pid
    assert pid is not None
    return pid


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def cpu_of(pid: int) -> float:
    """Seconds of processor time."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def cpu_of_ended_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def wait_until_gone(pid: int) -> None:
    while lives(pid):  # the test's time limit ends it
        time.sleep(0.02)


def test_the_pool_returns_what_decode_returns(pool: DecodePool) -> None:
    assert pool.decode(GOOD) == decode(GOOD, ImagePolicy())


def test_refusals_keep_reason_and_detail(pool: DecodePool) -> None:
    with pytest.raises(Reject) as refused:
        pool.decode(saved(quadrants(40, 50), "PNG"))

    assert refused.value.reason == Reason.TOO_SMALL
    assert refused.value.detail == "40x50, 64 pixels at least"


def test_many_threads_share_the_pool(pool: DecodePool) -> None:
    with ThreadPoolExecutor(8) as threads:
        decoded = list(threads.map(pool.decode, [GOOD] * 40))

    assert all(shows_quadrants(one) for one in decoded)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_files_are_decoded_or_refused_for_a_reason(
    pool: DecodePool, data: st.DataObject
) -> None:
    # Given a real file with bytes changed, removed, repeated or inserted
    file = bytearray(data.draw(st.sampled_from(REAL)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(file)) | st.integers(0, 700))
        match data.draw(st.sampled_from(["change", "remove", "repeat", "insert", "cut"])):
            case "change":
                file[at : at + 1] = data.draw(st.binary(min_size=1, max_size=4))
            case "remove":
                del file[at : at + data.draw(st.integers(1, 200))]
            case "repeat":
                file[at:at] = file[at : at + data.draw(st.integers(1, 2000))]
            case "insert":
                file[at:at] = data.draw(st.binary(max_size=50))
            case _ if at > 20:
                del file[at:]

    # When it is decoded
    outcome = outcome_of(pool, bytes(file))

    # Then it is decoded, or the decoder refuses it without dying
    if isinstance(outcome, Reject):
        assert "died" not in outcome.detail
        assert "status" not in outcome.detail
        assert outcome.reason != Reason.DECODE_TIMEOUT
    else:
        assert opened(outcome).size == (outcome.width, outcome.height)


def outcome_of(pool: DecodePool, file: bytes) -> Decoded | Reject:
    try:
        return pool.decode(file)
    except Reject as refused:
        return refused


_SMALL = photograph("chelsea.png").resize((160, 120))
_EXIF = Image.Exif()
_EXIF[0x0112] = 6
REAL = [
    saved(_SMALL, "JPEG", exif=_EXIF),
    saved(_SMALL, "JPEG", progressive=True, restart_marker_rows=1),
    saved(_SMALL.convert("CMYK"), "JPEG"),
    saved(_SMALL, "PNG", exif=_EXIF),
    saved(_SMALL.quantize(64), "PNG", transparency=3),
    saved(_SMALL, "GIF", save_all=True, append_images=[_SMALL.rotate(90)]),
    saved(_SMALL, "WEBP", exif=_EXIF),
    saved(_SMALL.convert("RGBA"), "WEBP", lossless=True),
    saved(_SMALL, "AVIF"),
    saved(_SMALL, "BMP"),
    saved(_SMALL, "TIFF", exif=_EXIF),
    saved(_SMALL, "TIFF", compression="tiff_lzw"),
    saved(_SMALL, "TIFF", compression="jpeg"),
]


def test_an_image_that_takes_too_long_ends_only_its_process(slow: bytes) -> None:
    spent = cpu_of_ended_children()
    with DecodePool(ImagePolicy(decode_cpu_s=1), 1) as pool:
        with pytest.raises(Reject, match="more than 1 s of processor time") as refused:
            pool.decode(slow)

        assert refused.value.reason == Reason.DECODE_TIMEOUT
        assert 1 <= cpu_of_ended_children() - spent < 8  # start included; the image wants 30
        assert shows_quadrants(pool.decode(GOOD))


def test_waiting_for_the_processor_does_not_count_as_decoding_time() -> None:
    # Given a child that gets no processor for longer than the limit
    process = DecodeProcess(ImagePolicy(decode_cpu_s=1))
    process.decode(GOOD)
    os.kill(child_of(process), signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        starved = threads.submit(process.decode, GOOD)
        time.sleep(2.5)
        assert not starved.done()

        # When it gets the processor
        os.kill(child_of(process), signal.SIGCONT)

        # Then the image is decoded
        assert shows_quadrants(starved.result())
    process.stop()


def test_the_time_limit_counts_for_each_image_alone() -> None:
    # Given images that each take much less than the limit
    process = DecodeProcess(ImagePolicy(decode_cpu_s=1))
    some_work = slow_jpeg(20)
    process.decode(GOOD)
    child = child_of(process)

    # When one child has spent more time on all of them than one image may take
    while cpu_of(child) < 3:
        process.decode(some_work)

    # Then the child was not replaced
    assert child_of(process) == child
    process.stop()


def test_an_image_that_needs_too_much_memory_ends_only_its_process() -> None:
    large = saved(quadrants(7900, 7900), "PNG")
    with DecodePool(ImagePolicy(decode_memory_bytes=400_000_000), 1) as pool:
        with pytest.raises(Reject, match="more than 400000000 bytes of memory") as refused:
            pool.decode(large)

        assert refused.value.reason == Reason.DECODE_FAILED
        assert shows_quadrants(pool.decode(GOOD))


def test_a_child_that_dies_over_an_image_is_named_and_replaced(slow: bytes) -> None:
    process = DecodeProcess(ImagePolicy(decode_cpu_s=60))
    process.decode(GOOD)
    with ThreadPoolExecutor(1) as threads:
        crashed = threads.submit(process.decode, slow)
        time.sleep(0.2)
        os.kill(child_of(process), signal.SIGSEGV)

        assert str(crashed.exception()) == "decode_failed: the decoder died of SIGSEGV"

    assert shows_quadrants(process.decode(GOOD))
    process.stop()


def test_a_child_that_died_while_idle_is_replaced_without_a_rejection() -> None:
    process = DecodeProcess(ImagePolicy())
    process.decode(GOOD)
    before = child_of(process)
    os.kill(before, signal.SIGKILL)
    wait_until_gone(before)

    assert shows_quadrants(process.decode(GOOD))
    process.stop()


def test_a_child_that_does_not_read_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImagePolicy, "decode_wall_s", 0.5)
    process = DecodeProcess(ImagePolicy())
    process.decode(GOOD)
    os.kill(child_of(process), signal.SIGSTOP)

    with pytest.raises(Reject) as refused:
        process.decode(GOOD + bytes(10_000_000))

    assert refused.value.reason == Reason.DECODE_TIMEOUT
    process.stop()


def test_a_child_gets_no_environment_and_no_files_of_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    process = DecodeProcess(ImagePolicy())
    process.decode(GOOD)

    child = Path(f"/proc/{child_of(process)}")

    assert b"secret" not in (child / "environ").read_bytes()
    assert len(list((child / "fd").iterdir())) == 3
    assert "torch" not in (child / "maps").read_text()
    process.stop()


def test_a_memory_limit_too_low_to_start_is_fatal() -> None:
    with (
        DecodePool(ImagePolicy(decode_memory_bytes=1000), 1) as pool,
        pytest.raises(Fatal, match="decode_memory_bytes"),
    ):
        pool.decode(GOOD)


def test_closing_ends_the_children_and_refuses_further_use() -> None:
    process_pool = DecodePool(ImagePolicy(), 2)
    process_pool.decode(GOOD)
    pids = [each.pid for each in process_pool._processes if each.pid is not None]

    process_pool.close()
    process_pool.close()

    assert pids
    assert not any(lives(pid) for pid in pids)
    with pytest.raises(Fatal, match="closed"):
        process_pool.decode(GOOD)


PARENT = """
import sys, threading
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.process import DecodeProcess
from kaption.workers.policy.ingest import ImagePolicy
process = DecodeProcess(ImagePolicy(decode_cpu_s=1))
process.decode(open(sys.argv[1], "rb").read())
print(process.pid, flush=True)
process.decode(open(sys.argv[2], "rb").read()) if len(sys.argv) > 2 else threading.Event().wait()
"""


@pytest.mark.parametrize("hanging", [False, True])
def test_children_of_a_killed_parent_end_too(tmp_path: Path, slow: bytes, hanging: bool) -> None:
    # Given a parent whose child is idle, or decodes an endless image
    (tmp_path / "good").write_bytes(GOOD)
    (tmp_path / "slow").write_bytes(slow)
    names = ["good", "slow"] if hanging else ["good"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *(str(tmp_path / name) for name in names)],
        stdout=subprocess.PIPE,
        cwd=root,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)

        # When the parent is killed
        parent.kill()

    # Then the child ends
    wait_until_gone(child)
