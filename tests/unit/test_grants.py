"""The ACLs of each stage: the rights that it needs, and no others."""

import pytest

from kaption.workers.cli.acls import Grant, grants
from kaption.workers.wiring import STAGES

TOPICS = {
    "ingest": ("pairs.raw", ["pairs.ingested"]),
    "score": ("pairs.ingested", ["pairs.scored", "pairs.captioned"]),
    "recaption": ("pairs.scored", ["pairs.captioned"]),
    "select": ("pairs.captioned", ["pairs.clean", "pairs.audit"]),
    "sink": ("pairs.clean", []),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_granted_the_rights_it_needs_and_no_others(stage: str) -> None:
    source, targets = TOPICS[stage]
    written = [*targets, "pairs.rejected", "pairs.dead"]
    assert set(grants("a.")[stage]) == {
        Grant("topic", f"a.{source}", ("Read", "DescribeConfigs")),
        *(Grant("topic", f"a.{name}", ("Write", "DescribeConfigs")) for name in written),
        Grant("group", f"a.{stage}", ("Read",)),
        Grant("transactional-id", f"a.{stage}-", ("Write",), "prefixed"),
    }
