"""The families of plug-ins that the stages use, and how each is made from its policy.

`kaption.plugins` says what a plug-in is and what a name may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from kaption.plugins import PluginError, PluginFamily
from kaption.workers.captioners.captioner import Captioner
from kaption.workers.checks.check import Check
from kaption.workers.models.scorer import Scorer
from kaption.workers.policy.recaption import RecaptionPolicy
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Stage

ALL = "all"
"""In `select.checks`: every check of this package."""
PERPLEXITY = "perplexity"


def _family(group: str, protocol: type, setting: str, *others: str) -> PluginFamily:
    """A family whose own plug-ins lie in the folder of its interface."""
    return PluginFamily(
        noun=protocol.__name__.lower(),
        group=group,
        setting=setting,
        package=protocol.__module__.rpartition(".")[0],
        others=others,
        protocol=protocol,
    )


CAPTIONERS = _family("kaption.captioners", Captioner, "recaption.captioners")
CHECKS = _family("kaption.checks", Check, "select.checks", ALL)
SCORERS = _family("kaption.scorers", Scorer, "clip.scorer")
OWN_STAGES = PluginFamily(
    noun="stage",
    group="kaption.stages",
    setting="`kaption work`",
    others=("ingest", "score", "recaption", "select", "sink", "all"),
    protocol=Stage,
)
"""Stages of users. `kaption.workers.wiring` makes the pipeline's own, which `others` names."""


def load_captioners(policy: RecaptionPolicy) -> tuple[Captioner, ...]:
    """The captioners that the policy names, large ones last, models loaded. Raises Fatal."""
    return CAPTIONERS.make_all(policy.named, policy.settings, policy)


def load_checks(policy: SelectPolicy, *, alt_texts: bool = False) -> tuple[Check, ...]:
    """The checks that the policy names, in its order. Raises Fatal.

    With `alt_texts` only those that may refuse one: perplexity refuses captions of models alone.
    """
    left_out = () if policy.perplexity.model and PERPLEXITY not in policy.checks else (PERPLEXITY,)
    every = [name for name in CHECKS.names() if name not in left_out]
    names: list[str] = []
    for name in policy.checks:
        names += every if name == ALL else (name,)
    if alt_texts:
        names = [name for name in names if name != PERPLEXITY]
    checks: tuple[Check, ...] = CHECKS.make_all(names, policy.settings, policy)
    # The name of a check tells its results apart in a caption and in a rejection's detail.
    given = [check.name for check in checks]
    if twins := sorted({name for name in given if given.count(name) > 1}):
        raise PluginError(f"select.checks has two checks that call themselves {twins[0]!r}")
    return checks


def load_scorer(policy: ClipPolicy) -> Scorer:
    """The scorer that the policy names, model loaded. Raises Fatal."""
    scorer: Scorer = SCORERS.make(policy.scorer, policy.settings, policy)
    return scorer


def load_stage(
    name: str, settings: Mapping[str, Mapping[str, Any]], *policies: BaseModel
) -> Stage[Any, Any]:
    """A user's stage, not yet set up. Raises Fatal.

    `settings` are those of all stages of users, by their names.
    """
    stage: Stage[Any, Any] = OWN_STAGES.make(name, settings.get(name), *policies)
    return stage
