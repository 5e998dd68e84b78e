import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.resolver import LookUp, system_look_up
from kaption.workers.policy import FetchPolicy
from support.hostile_web import HostileWeb


@pytest.fixture
def web() -> Iterator[HostileWeb]:
    server = HostileWeb()
    yield server
    server.close()


@pytest.fixture
def make_fetcher() -> Iterator[Callable[..., Fetcher]]:
    """Make a fetcher that may reach loopback. Further keywords are fields of FetchPolicy."""
    with ExitStack() as stack:

        def make(
            *,
            ssl_context: ssl.SSLContext | None = None,
            look_up: LookUp = system_look_up,
            sleep: Callable[[float], object] | None = None,
            **policy: object,
        ) -> Fetcher:
            defaults = {"allow_networks": ("127.0.0.0/8",), "attempts": 1}
            made = Fetcher(
                FetchPolicy.model_validate(defaults | policy),
                ssl_context=ssl_context,
                look_up=look_up,
                sleep=sleep,
            )
            stack.callback(made.close)
            return made

        yield make
