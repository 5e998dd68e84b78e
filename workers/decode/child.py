"""The decoding process: images in, stored images and numbers out, over its standard input.

It ends by itself when the parent's end of the socket closes, also when the parent was killed. A
decoder that is busy at that moment is ended by its limit of processor time, one that hangs by an
alarm: the default action of both signals ends the process inside any C code. Answers are JSON and
bytes, never pickles: the parent must be able to read them although whoever made the image may
have taken this process.
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

from PIL import AvifImagePlugin, Image

from kaption.workers.decode.decode import decode
from kaption.workers.decode.frames import PeerClosedError, receive_frame, send_frame
from kaption.workers.decode.process import OUT_OF_MEMORY
from kaption.workers.policy import ImagePolicy
from kaption.workers.runtime.stage import Reject

MAX_INPUT_BYTES = 1 << 30


def main() -> None:
    """Serve until the parent goes away."""
    with socket.socket(fileno=0) as parent:
        policy = ImagePolicy.model_validate_json(receive_frame(parent, MAX_INPUT_BYTES))
        _confine(policy)
        _try_out(policy)
        send_frame(parent)  # ready
        # From here on only decoders would write there, about images: libtiff does.
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
    # Pillow refuses from twice this number on; the exact check is ours, this one is for sizes that
    # a reader meets only while opening (an animated GIF, a WebP canvas).
    Image.MAX_IMAGE_PIXELS = max(1, policy.max_pixels // 2)
    warnings.simplefilter("ignore")
    # One process per core already; each thread would take address space for its stack.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _try_out(policy: ImagePolicy) -> None:
    """Decode an image of our own: with too little memory every other would be refused."""
    sample = BytesIO()
    Image.effect_noise((256, 256), 64).save(sample, "JPEG")
    decode(sample.getvalue(), policy.model_copy(update={"min_side": 1, "formats": ("JPEG",)}))


def _serve(parent: socket.socket, policy: ImagePolicy) -> None:
    data = receive_frame(parent, MAX_INPUT_BYTES)
    _limit_cpu(math.ceil(time.process_time()) + policy.decode_cpu_s)
    # The parent's deadline is the one that counts; this is for a parent that died meanwhile.
    signal.setitimer(signal.ITIMER_REAL, 2 * policy.decode_wall_s)
    jpeg = b""
    try:
        decoded = decode(data, policy)
    except Reject as refused:
        head = {"reason": refused.reason.value, "detail": refused.detail}
    else:
        jpeg = decoded.jpeg
        head = {name: value for name, value in asdict(decoded).items() if name != "jpeg"}
    signal.setitimer(signal.ITIMER_REAL, 0)
    # Else reading the next image could exceed this one's limit.
    _limit_cpu(None)
    send_frame(parent, json.dumps(head).encode(), b"\n", jpeg)


def _limit_cpu(seconds: int | None) -> None:
    """Of this process since its start; past it the process dies of SIGXCPU. None: no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard if seconds is None else seconds, hard))
