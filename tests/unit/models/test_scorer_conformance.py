"""Every scorer of the package passes the suite for scorers."""

import pytest

from kaption.testing.scorers import ScorerConformance
from kaption.workers.plugins import SCORERS
from kaption.workers.policy.score import ClipPolicy
from support.tiny_models import tiny_clip

pytestmark = pytest.mark.slow


class TestOurScorers(ScorerConformance):
    @pytest.fixture(scope="class", params=SCORERS.names())
    @classmethod
    def policy(
        cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> ClipPolicy:
        folder = tiny_clip(tmp_path_factory.mktemp("clip"))
        return ClipPolicy(scorer=request.param, model=f"local-dir:{folder}", device="cpu")


def test_scorers_are_found_by_listing_the_package() -> None:
    assert "open_clip" in SCORERS.names()
