"""Every check of this package, found by listing it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import kaption.workers.checks
from kaption.workers.checks.check import Check
from kaption.workers.policy import SelectPolicy


def load_checks(policy: SelectPolicy) -> tuple[Check, ...]:
    """One check of each module that has `build`, by name."""
    names = sorted(module.name for module in iter_modules(kaption.workers.checks.__path__))
    modules = [import_module(f"{kaption.workers.checks.__name__}.{name}") for name in names]
    return tuple(module.build(policy) for module in modules if hasattr(module, "build"))
