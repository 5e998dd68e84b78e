"""Free ports on the loopback address."""

import random
import socket
from contextlib import ExitStack

HOST = "127.0.0.1"
# Below the ephemeral range (from 32768 on Linux, from 49152 elsewhere). The system may give a port
# from bind(0) to an outgoing connection before the server listens on it. A client that reconnects
# to such a port while the server is down can even connect to itself.
_RANGE = (20_000, 32_000)
_TRIES = 200


def free_ports(count: int) -> tuple[int, ...]:
    """`count` distinct ports that nobody listens on.

    The ports are not reserved: a server that finds its port taken must try another. Raises OSError
    when there are not enough free ports.
    """
    # Two test runs with the same seed must not pick the same ports, so no seeded generator.
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
    raise OSError(f"there are no {count} free ports between {_RANGE[0]} and {_RANGE[1]}")
