"""The families of plug-ins that the stages use, and how each is made from its policy.

`kaption.plugins` says what a plug-in is and what a name may be.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from kaption.plugins import PluginError, PluginFamily
from kaption.workers.captioners.captioner import Captioner
from kaption.workers.checks.check import Check
from kaption.workers.models.scorer import Scorer
from kaption.workers.policy import ClipPolicy, PluginSettings, RecaptionPolicy, SelectPolicy
from kaption.workers.runtime.stage import Stage

ALL = "all"
"""In `select.checks`: every check of this package."""

CAPTIONERS = PluginFamily(
    noun="captioner",
    group="kaption.captioners",
    setting="recaption.captioners",
    package="kaption.workers.captioners",
    protocol=Captioner,
)
CHECKS = PluginFamily(
    noun="check",
    group="kaption.checks",
    setting="select.checks",
    package="kaption.workers.checks",
    others=(ALL,),
    protocol=Check,
)
SCORERS = PluginFamily(
    noun="scorer",
    group="kaption.scorers",
    setting="clip.scorer",
    package="kaption.workers.models",
    protocol=Scorer,
)
OWN_STAGES = PluginFamily(
    noun="stage",
    group="kaption.stages",
    setting="`kaption work`",
    others=("ingest", "score", "recaption", "select", "sink", "all"),
    protocol=Stage,
)
"""Stages of users. `kaption.workers.wiring` makes the pipeline's own, which `others` names."""


def load_captioners(policy: RecaptionPolicy) -> tuple[Captioner, ...]:
    """The captioners that the policy names, in its order, models loaded. Raises Fatal."""
    CAPTIONERS.refuse_strangers(policy.settings, policy.captioners)
    return tuple(
        CAPTIONERS.make(name, policy.settings.get(name), policy) for name in policy.captioners
    )


def load_checks(policy: SelectPolicy) -> tuple[Check, ...]:
    """The checks that the policy names, in its order. Raises Fatal."""
    names: list[str] = []
    for name in policy.checks:
        names += CHECKS.names() if name == ALL else (name,)
    CHECKS.refuse_strangers(policy.settings, names)
    checks = tuple(CHECKS.make(name, policy.settings.get(name), policy) for name in names)
    # The name of a check tells its results apart in a caption and in a rejection's detail.
    given = [check.name for check in checks]
    if twins := sorted({name for name in given if given.count(name) > 1}):
        raise PluginError(f"select.checks has two checks that call themselves {twins[0]!r}")
    return checks


def load_scorer(policy: ClipPolicy) -> Scorer:
    """The scorer that the policy names, model loaded. Raises Fatal."""
    scorer: Scorer = SCORERS.make(policy.scorer, policy.settings, policy)
    return scorer


def load_stage(name: str, settings: PluginSettings, *policies: BaseModel) -> Stage[Any, Any]:
    """A user's stage, not yet set up. Raises Fatal.

    `settings` are those of all stages of users, by their names.
    """
    stage: Stage[Any, Any] = OWN_STAGES.make(name, settings.get(name), *policies)
    return stage
