"""The program of a decoding process. Its standard input is a socket to the parent.

It receives images and answers with the stored JPEG and its description. The process ends when the
parent's end of the socket closes, which also happens when the parent is killed. If a decoder is
busy at that moment, its limit of processor time ends it, and an alarm ends a decoder that hangs:
the default action of both signals ends the process inside any C code.

Answers are JSON and bytes, never pickles. A malicious image may have taken over this process, and
the parent must be able to read its answers safely.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import socket
import time
import warnings
from dataclasses import asdict
from io import BytesIO
from typing import Any

from PIL import AvifImagePlugin, Image

from kaption.workers.decode.decode import decode
from kaption.workers.decode.frames import PeerClosedError, receive_frame, send_frame
from kaption.workers.decode.process import OUT_OF_MEMORY
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject

MAX_INPUT_BYTES = 1 << 30


def main() -> None:
    """Decode images until the parent closes the socket."""
    with socket.socket(fileno=0) as parent:
        policy = ImagePolicy.model_validate_json(receive_frame(parent, MAX_INPUT_BYTES))
        _confine(policy)
        _try_out(policy)
        send_frame(parent)  # ready
        # From here on only decoders would write to standard error: libtiff does, for bad images.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        try:
            while True:
                _serve(parent, policy)
        except (PeerClosedError, ConnectionResetError, BrokenPipeError):
            return
        except MemoryError:
            os._exit(OUT_OF_MEMORY)


def _confine(policy: ImagePolicy) -> None:
    limit = policy.decode_memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Pillow refuses images above twice this number. Our own check of the header is exact; this one
    # is for sizes that a reader finds only while it opens the file (animated GIF, WebP canvas).
    Image.MAX_IMAGE_PIXELS = max(1, policy.max_pixels // 2)
    warnings.simplefilter("ignore")
    # There is a process for each core already, and each thread's stack would take address space.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _try_out(policy: ImagePolicy) -> None:
    """Decode a sample, so that a memory limit that is too low fails at start, not at each image."""
    sample = BytesIO()
    Image.effect_noise((256, 256), 64).save(sample, "JPEG")
    decode(sample.getvalue(), policy.model_copy(update={"min_side": 1, "formats": ("JPEG",)}))


def _serve(parent: socket.socket, policy: ImagePolicy) -> None:
    data = receive_frame(parent, MAX_INPUT_BYTES)
    _limit_cpu(math.ceil(time.process_time()) + policy.decode_cpu_s)
    # The parent ends this process at its deadline. The alarm is for a parent that died meanwhile.
    signal.setitimer(signal.ITIMER_REAL, 2 * policy.decode_wall_s)
    jpeg = b""
    try:
        decoded = decode(data, policy)
    except Reject as refused:
        head: dict[str, Any] = {"reason": refused.reason.value, "detail": refused.detail}
    else:
        jpeg = decoded.jpeg
        head = {name: value for name, value in asdict(decoded).items() if name != "jpeg"}
        head["opt_out"] = [signal.model_dump() for signal in decoded.opt_out]
    signal.setitimer(signal.ITIMER_REAL, 0)
    # Without this, reading the next image could exceed the limit of this one.
    _limit_cpu(None)
    send_frame(parent, json.dumps(head).encode(), b"\n", jpeg)


def _limit_cpu(seconds: int | None) -> None:
    """Limit the processor time since the start of this process, or remove the limit (None).

    SIGXCPU ends the process when it exceeds the limit.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard if seconds is None else seconds, hard))
