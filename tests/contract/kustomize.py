"""What kustomize makes of the folders under deploy/kubernetes, as far as they use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
Manifest = dict[str, Any]


def kustomization(folder: Path) -> Manifest:
    """The folder's kustomization.yaml."""
    loaded: Manifest = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return loaded


def named_files(folder: Path) -> set[str]:
    """Files and folders that the kustomization names."""
    it = kustomization(folder)
    patches = {patch["path"] for patch in it.get("patches", [])}
    generated = {name for each in it.get("configMapGenerator", []) for name in each["envs"]}
    return {*it["resources"], *patches, *generated}


def render(folder: Path) -> list[Manifest]:
    """The manifests, but for the hash behind the names of generated ConfigMaps."""
    it = kustomization(folder)
    manifests = [each for name in it["resources"] for each in _resources(folder / name)]
    for patch in it.get("patches", []):
        content = yaml.safe_load((folder / patch["path"]).read_text())
        for manifest in manifests:
            if _is_target(patch["target"], manifest):
                _apply(manifest, content)
    manifests += [_config_map(folder, each) for each in it.get("configMapGenerator", [])]
    tags = {image["name"]: image["newTag"] for image in it.get("images", [])}
    for container in containers(manifests):
        if container["image"] in tags:
            container["image"] += ":" + tags[container["image"]]
    return manifests


def containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Every container of a pod template."""
    for manifest in manifests:
        yield from (
            manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        )


def _resources(path: Path) -> list[Manifest]:
    return render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _config_map(folder: Path, generator: Manifest) -> Manifest:
    lines = [line for name in generator["envs"] for line in (folder / name).read_text().split("\n")]
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"]},
        "data": {name: value for name, _, value in pairs},
    }


def _is_target(target: Manifest, manifest: Manifest) -> bool:
    name = re.fullmatch(target.get("name", ".*"), manifest["metadata"]["name"])
    return target["kind"] == manifest["kind"] and name is not None


def _apply(manifest: Manifest, patch: Manifest | list[Manifest]) -> None:
    if isinstance(patch, list):
        for step in patch:
            assert step["op"] == "add"
            _add(manifest, step["path"], step["value"])
    else:
        _merge(manifest["spec"], patch["spec"])


def _add(manifest: Any, path: str, value: object) -> None:
    *parents, last = path.strip("/").split("/")
    for part in parents:
        manifest = manifest[int(part) if isinstance(manifest, list) else part]
    manifest[last] = value


def _merge(into: Manifest, patch: Manifest) -> None:
    """Strategic merge: maps by key, lists of named things by name, other lists replaced."""
    for key, value in patch.items():
        known = into.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            _merge(known, value)
        elif isinstance(value, list) and isinstance(known, list) and "name" in value[0]:
            by_name = {each["name"]: each for each in known}
            for each in value:
                if each["name"] in by_name:
                    _merge(by_name[each["name"]], each)
                else:
                    known.append(each)
        else:
            into[key] = value
