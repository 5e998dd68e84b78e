"""Fixtures of the tests of select."""

import pytest

from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.policy.score import ClipPolicy
from support.tiny_models import tiny_clip


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> OpenClipScorer:
    folder = tiny_clip(tmp_path_factory.mktemp("clip"))
    return build(ClipPolicy(model=f"local-dir:{folder}", device="cpu"))
