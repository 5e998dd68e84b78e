"""Captioners by name: a module of this package, or the dotted name of anyone's own module."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import kaption.workers.captioners
from kaption.connections.errors import Fatal
from kaption.workers.captioners.captioner import Captioner
from kaption.workers.policy import RecaptionPolicy


def load_captioners(policy: RecaptionPolicy) -> tuple[Captioner, ...]:
    """The captioners of the policy, models loaded. Raises Fatal with what to do."""
    return tuple(_load(name, policy) for name in policy.captioners)


def _load(name: str, policy: RecaptionPolicy) -> Captioner:
    full = name if "." in name else f"{kaption.workers.captioners.__name__}.{name}"
    try:
        known = find_spec(full) is not None
    except ModuleNotFoundError:  # a parent package of a dotted name
        known = False
    module = import_module(full) if known else None
    if module is None or not hasattr(module, "build"):
        raise Fatal(
            f"there is no captioner {name!r}: name a module of workers/captioners with a `build`"
            " function (rules, transformers), or your own by its dotted name"
        )
    captioner: Captioner = module.build(policy)
    return captioner
