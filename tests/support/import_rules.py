"""What each module may import, and the functions that find what breaks the rules."""

from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter

from support.imports import Tree, is_standard, loaded_by, within

OURS = ("kaption",)
FLOORS = ("kaption.schemas", "kaption.connections", "kaption.objectstore")
"""What every side stands on, lowest first: each imports itself and what is below it."""
STAGE = "kaption.workers.runtime.stage"
BASICS = (
    *("kaption.schemas", "kaption.connections.errors"),
    *("kaption.workers.policy", "kaption.workers.presets", STAGE),
)
"""What every part of a stage may use: records, errors, policies and what outcomes there are."""
INTERFACES = (
    "kaption.workers.captioners.captioner",
    "kaption.workers.checks.check",
    "kaption.workers.checks.words",
    "kaption.workers.models.scorer",
    "kaption.workers.models.windows",
)
"""What stages know of captioners, checks and models: protocols, and what is written in terms of
them."""

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "kaption": ("kaption",),  # the front door
    "kaption.plugins": ("kaption.connections.errors",),  # the loader: producers and workers use it
    "kaption.schemas": FLOORS[:1],
    "kaption.connections": FLOORS[:2],
    "kaption.objectstore": FLOORS,
    "kaption.producers": (*FLOORS, "kaption.plugins", "kaption.producers"),
    "kaption.consumers": (*FLOORS, "kaption.consumers"),
    # The engine knows no stage.
    "kaption.workers.runtime": (*FLOORS[:2], "kaption.workers.runtime"),
    # Each family knows itself and no other.
    "kaption.workers.policy": ("kaption.workers.policy",),
    "kaption.workers.presets": (),
    "kaption.workers.text": (*BASICS, "kaption.workers.text"),
    "kaption.workers.fetch": (*BASICS, "kaption.workers.fetch"),
    "kaption.workers.decode": (*BASICS, "kaption.workers.decode"),
    "kaption.workers.safety": (
        *BASICS,
        "kaption.workers.decode.decoded",
        "kaption.workers.safety",
    ),
    "kaption.workers.models": (*BASICS, "kaption.workers.models", "kaption.workers.text"),
    "kaption.workers.checks": (
        *BASICS,
        "kaption.workers.checks",
        "kaption.workers.models.causal",
        "kaption.workers.text",
    ),
    "kaption.workers.captioners": (
        *BASICS,
        "kaption.workers.captioners",
        "kaption.workers.models.device",
        "kaption.workers.text",
    ),
    "kaption.workers.stores": (
        *BASICS,
        "kaption.connections",
        "kaption.workers.decode.likeness",
        "kaption.workers.stores",
    ),
    "kaption.workers.stages": (
        *BASICS,
        *INTERFACES,
        "kaption.objectstore",
        "kaption.workers.decode",
        "kaption.workers.fetch",
        "kaption.workers.safety",
        "kaption.workers.stages",
        "kaption.workers.stores",
        "kaption.workers.text",
    ),
    # Whole jobs, and what ties the parts together.
    "kaption.workers.settings": (
        *BASICS,
        *FLOORS[:2],
        "kaption.workers.runtime.policy",
        "kaption.workers.safety.policy",
    ),
    "kaption.workers.plugins": (
        *BASICS,
        "kaption.plugins",
        "kaption.workers.captioners",
        "kaption.workers.checks",
        "kaption.workers.models",
    ),
    "kaption.workers.wiring": (*FLOORS, "kaption.workers"),
    "kaption.workers.trial": (*FLOORS, "kaption.workers"),
    "kaption.workers.recheck": (*FLOORS, "kaption.consumers", "kaption.workers"),
    "kaption.workers.delta_table": FLOORS,
    "kaption.workers.replay": (*FLOORS, "kaption.producers", "kaption.consumers"),
    "kaption.workers.rebuild": (
        *FLOORS,
        "kaption.consumers",
        "kaption.workers.decode",
        "kaption.workers.settings",
        "kaption.workers.stores",
        "kaption.workers.takedown.search",
    ),
    "kaption.workers.audit": (
        *FLOORS,
        "kaption.consumers",
        "kaption.workers.audit",
        "kaption.workers.checks.check",
        "kaption.workers.policy",
        STAGE,
        "kaption.workers.settings",
        "kaption.workers.stages.select.sample",
        "kaption.workers.stores",
        "kaption.workers.text.characters",
        "kaption.workers.wiring",
    ),
    "kaption.workers.compaction": (*FLOORS, "kaption.workers.compaction"),
    "kaption.workers.origin": (
        *FLOORS,
        "kaption.consumers",
        "kaption.workers.compaction.obsolete",
        "kaption.workers.origin",
    ),
    "kaption.workers.takedown": (
        *FLOORS,
        "kaption.consumers",
        "kaption.producers",
        "kaption.workers.settings",
        "kaption.workers.stores",
        "kaption.workers.takedown",
        "kaption.workers.wiring",
    ),
    "kaption.workers.batch": (
        *FLOORS,
        "kaption.consumers",
        "kaption.producers",
        "kaption.workers.batch",
        "kaption.workers.local",
        "kaption.workers.report",
        "kaption.workers.runtime",
        "kaption.workers.settings",
        "kaption.workers.wiring",
    ),
    "kaption.workers.report": (
        *FLOORS,
        "kaption.consumers",
        "kaption.workers.audit.report",
        "kaption.workers.checks.words",
        "kaption.workers.report",
        "kaption.workers.settings",
        "kaption.workers.stores",
        "kaption.workers.wiring",
    ),
    "kaption.workers.local": ("kaption.workers.local",),
    "kaption.workers.demo": (*BASICS, "kaption.workers.decode", "kaption.workers.demo"),
    "kaption.workers.cli": OURS,
    "kaption.testing": OURS,
}
"""By package, what of ours its files may import; the entry of the longest name holds."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "kafka": ("kaption.connections.kafka",),
    "redis": ("kaption.workers.stores",),
    # Every module logs through the standard library; one file knows how a line looks.
    "structlog": ("kaption.workers.runtime.logs",),
    "boto3": ("kaption.objectstore",),
    "botocore": ("kaption.objectstore",),
    "os.environ": ("kaption.workers.settings",),
    "os.environb": (),
    "os.getenv": ("kaption.workers.settings",),
    # Only a command ties jobs together.
    "kaption.workers.cli": ("kaption.workers.cli",),
    "kaption.testing": ("kaption.testing",),
}
"""By name, where alone it may be imported."""

LIGHT = (
    "kaption.schemas",
    "kaption.connections",
    "kaption.objectstore",
    "kaption.producers",
    "kaption.workers.cli",
    "kaption.workers.settings",
    "kaption.workers.policy",
    "kaption.workers.safety.policy",
)
"""What an install without extras imports."""
BASE = (
    "can_ada",
    "kafka",
    "prometheus_client",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "rich",
    "structlog",
    "tenacity",
    "typer",
)
CLIENTS = ("KafkaConsumer", "KafkaProducer", "KafkaAdminClient")
HEAVY = ("torch", "torchvision", "transformers", "open_clip")
NEVER_AT_LOAD = (*LIGHT, "kaption.workers.runtime")


def wrong_directions(tree: Tree) -> Iterator[str]:
    for module, imports in tree.items():
        homes = [package for package in MAY_IMPORT if within(module, [package])]
        if max(homes, key=len) == "kaption" and module not in ("kaption", "kaption.workers"):
            yield f"{module}: say in MAY_IMPORT what it may import"
            continue
        allowed = MAY_IMPORT[max(homes, key=len)]
        for each in imports:
            if within(each.name, OURS) and not within(each.name, allowed):
                yield f"{module}:{each.line} imports {each.name}"


def misplaced(tree: Tree) -> Iterator[str]:
    for module, imports in tree.items():
        for each in imports:
            for name, places in ONLY_IN.items():
                if within(each.name, [name]) and not within(module, places):
                    yield f"{module}:{each.line} uses {name}"


def not_in_base(tree: Tree, roots: Collection[str]) -> Iterator[str]:
    for name, module in loaded_by(tree, roots).items():
        if not (is_standard(name) or within(name, OURS) or within(name, BASE)):
            yield f"{module} loads {name}"


def heavy_at_load(tree: Tree, roots: Collection[str]) -> Iterator[str]:
    for name, module in loaded_by(tree, roots).items():
        if within(name, HEAVY):
            yield f"{module} loads {name}"


def cycle_of(tree: Tree) -> list[str]:
    """Modules that import each other, or nothing.

    Imports inside functions and for type checkers count too: two modules that know each other are
    one, whenever they are loaded.
    """
    graph = {
        module: {_module_of(each.name, tree) for each in imports} - {None, module}
        for module, imports in tree.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _module_of(name: str, tree: Tree) -> str | None:
    while name and name not in tree:
        name = name.rpartition(".")[0]
    return name or None
