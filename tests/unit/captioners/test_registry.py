import pytest

from kaption.connections.errors import Fatal
from kaption.workers.captioners.registry import load_captioners
from kaption.workers.policy import RecaptionPolicy


def test_a_captioner_is_its_module_name() -> None:
    policy = RecaptionPolicy(captioners=("rules", "kaption.workers.captioners.rules"))

    assert [captioner.name for captioner in load_captioners(policy)] == ["rules", "rules"]


@pytest.mark.parametrize("name", ["no_such", "captioner", "no.such.module"])
def test_an_unknown_captioner_is_fatal_and_named(name: str) -> None:
    with pytest.raises(Fatal, match=f"no captioner '{name}'"):
        load_captioners(RecaptionPolicy(captioners=(name,)))
