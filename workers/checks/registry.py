"""Every check of this package, found by listing it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import workers.checks
from workers.checks.check import Check
from workers.policy import SelectPolicy


def load_checks(policy: SelectPolicy) -> tuple[Check, ...]:
    """One check of each module that has `build`, by name."""
    names = sorted(module.name for module in iter_modules(workers.checks.__path__))
    modules = [import_module(f"{workers.checks.__name__}.{name}") for name in names]
    return tuple(module.build(policy) for module in modules if hasattr(module, "build"))
