"""Free ports on the loopback address."""

import random
import socket
from contextlib import ExitStack

HOST = "127.0.0.1"
# Below the ephemeral range (32768 on Linux, 49152 elsewhere). A port from bind(0) could be given
# to somebody's outgoing connection before the server has it, and a client that reconnects to
# such a port while the server is down can connect to itself.
_RANGE = (20_000, 32_000)
_TRIES = 200


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` distinct ports that nobody listens on now.

    They are not reserved: whoever starts a server on one must be ready to try another.
    Raises OSError when no free ones are found.
    """
    # Not the seeded generator: two test runs with the same seed would pick the same ports.
    draw = random.SystemRandom()
    ports: list[int] = []
    with ExitStack() as held:
        for _ in range(_TRIES):
            if len(ports) == count:
                return tuple(ports)
            candidate = held.enter_context(socket.socket())
            port = draw.randrange(*_RANGE)
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    raise OSError(f"no {count} free ports between {_RANGE[0]} and {_RANGE[1]}")
