"""Fixtures of the tests of the stores."""

import pytest

from kaption.workers.stores.dedup import Dedup
from support.near_race import dedup_at


@pytest.fixture
def dedup(redis_url) -> Dedup:
    return dedup_at(redis_url)
