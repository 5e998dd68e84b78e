"""docker-compose.yml, with every variable at its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", TEXT))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {
    name: it
    for name, it in SERVICES.items()
    if it["image"].startswith("kaption:") and "entrypoint" not in it
}
WORKERS = {name: it for name, it in OURS.items() if it["command"][0] == "work"}


def mounts(service: str) -> dict[str, str]:
    """The sources of a service's volumes by their targets; anonymous volumes have none."""
    named = [it.split(":") for it in SERVICES[service].get("volumes", ()) if ":" in it]
    return {target: source for source, target, *_ in named}
