"""Every captioner of the package passes the suite for captioners."""

import pytest

from kaption.testing.captioners import CaptionerConformance
from kaption.workers.plugins import CAPTIONERS
from kaption.workers.policy.recaption import (
    OpenAIPolicy,
    RecaptionPolicy,
    SamplingPolicy,
    TransformersPolicy,
)
from support.caption_server import TransformersServe
from support.tiny_models import tiny_blip2

pytestmark = pytest.mark.slow


class TestOurCaptioners(CaptionerConformance):
    @pytest.fixture(scope="class", params=CAPTIONERS.names())
    @classmethod
    def policy(
        cls,
        request: pytest.FixtureRequest,
        tmp_path_factory: pytest.TempPathFactory,
        caption_server: TransformersServe,
    ) -> RecaptionPolicy:
        folder = tiny_blip2(tmp_path_factory.mktemp("model"))
        return RecaptionPolicy(
            captioners=(request.param,),
            transformers=TransformersPolicy(
                model=str(folder), device="cpu", sampling=SamplingPolicy(max_new_tokens=5)
            ),
            openai=OpenAIPolicy(
                base_url=caption_server.url,
                model=caption_server.model,
                sampling=SamplingPolicy(max_new_tokens=5),
                concurrency=1,  # this server's seed is that of its whole process
            ),
        )

    def test_it_has_the_name_of_its_module(self, policy: RecaptionPolicy, make) -> None:
        assert (make().name,) == policy.captioners


def test_captioners_are_found_by_listing_the_package() -> None:
    assert {"openai", "rules", "transformers"} <= set(CAPTIONERS.names())
