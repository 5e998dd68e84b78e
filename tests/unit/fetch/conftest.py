import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.resolver import LookUp, system_look_up
from kaption.workers.policy.ingest import FetchPolicy
from support.hostile_web import HostileWeb
from support.web import PatientFetcher, Waits


@pytest.fixture
def web() -> Iterator[HostileWeb]:
    server = HostileWeb()
    yield server
    server.close()


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def make_fetcher() -> Iterator[Callable[..., Fetcher]]:
    """Make a fetcher that may reach loopback. Further keywords are fields of FetchPolicy."""
    with ExitStack() as stack:

        def make(
            *,
            ssl_context: ssl.SSLContext | None = None,
            look_up: LookUp = system_look_up,
            waits: Waits | None = None,
            postpones: bool = False,
            **policy: object,
        ) -> Fetcher:
            defaults = {"allow_networks": ("127.0.0.0/8",), "attempts": 1}
            kind = (
                Fetcher
                if postpones
                else partial(PatientFetcher, time.sleep if waits is None else waits)
            )
            made = kind(
                FetchPolicy.model_validate(defaults | policy),
                ssl_context=ssl_context,
                look_up=look_up,
                clock=time.monotonic if waits is None else waits.clock,
            )
            stack.callback(made.close)
            return made

        yield make
