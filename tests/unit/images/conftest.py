from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from unit.images.hostile_web import HostileWeb
from workers.images.fetch import Fetcher
from workers.policy import FetchPolicy


@pytest.fixture
def web() -> Iterator[HostileWeb]:
    server = HostileWeb()
    yield server
    server.close()


@pytest.fixture
def make_fetcher() -> Iterator[Callable[..., Fetcher]]:
    """Make a fetcher that may reach loopback; keywords that FetchPolicy has go to the policy."""
    with ExitStack() as stack:

        def make(**settings: object) -> Fetcher:
            policy = {"allow_networks": ("127.0.0.0/8",), "attempts": 1}
            policy |= {name: settings.pop(name) for name in list(settings) if name in names}
            made = Fetcher(FetchPolicy(**policy), **settings)
            stack.callback(made.close)
            return made

        names = FetchPolicy.model_fields
        yield make
