"""docker-compose.yml names what exists: stages, settings, files, ports, pinned images."""

import os
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from workers.settings import HealthPolicy, load_settings

ROOT = Path(__file__).parents[2]
STAGES = {"ingest", "score", "recaption", "select", "sink"}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = {name: it for name, it in SERVICES.items() if it.get("command", [""])[0] == "work"}


def interpolated(value: object) -> str:
    """Put the default in the place of ${NAME:-default}, as compose does without a variable."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


def test_every_stage_is_a_service_of_its_own() -> None:
    assert {name: it["command"] for name, it in WORKERS.items()} == {
        stage: ["work", stage] for stage in STAGES
    }
    for stage in STAGES:
        assert (ROOT / "workers" / "stages" / f"{stage}.py").exists() or (
            ROOT / "workers" / "stages" / stage
        ).is_dir()


def test_the_workers_settings_are_valid_and_lead_to_the_services() -> None:
    environment = {key: interpolated(it) for key, it in WORKERS["ingest"]["environment"].items()}
    with patch.dict(os.environ, environment, clear=True):
        settings = load_settings()

    addresses = [
        settings.kafka.bootstrap,
        settings.redis.url.get_secret_value(),
        settings.store.endpoint or "",
    ]
    hosts = [re.sub(r"^\w+://", "", address).split(":")[0] for address in addresses]
    assert hosts == ["kafka", "valkey", "seaweedfs"]
    assert settings.store.url.startswith("s3://")


def test_the_store_has_the_key_that_the_workers_use() -> None:
    worker, store = WORKERS["sink"]["environment"], SERVICES["seaweedfs"]["environment"]

    assert worker["KAPTION_STORE__ACCESS_KEY"] == store["AWS_ACCESS_KEY_ID"]
    assert worker["KAPTION_STORE__SECRET_KEY"] == store["AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    assert re.search(r":\d+\.\d+[\w.-]*$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"topics"}))
def test_each_long_running_service_is_watched(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_health_check_asks_where_workers_answer() -> None:
    address = f":{HealthPolicy().port}/healthz"
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()

    assert all(address in it["healthcheck"]["test"][-1] for it in WORKERS.values())
    assert address in dockerfile
    assert f"EXPOSE {HealthPolicy().port}" in dockerfile


def test_dependencies_and_volumes_are_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        named = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(COMPOSE["volumes"])


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for it in SERVICES.values() for port in it.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_is_built_from_files_that_exist_and_are_sent() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, flags=re.MULTILINE)
        for source in line.split()
    ]

    assert set(copied) == sent
    assert all((ROOT / source).exists() for source in copied)
    assert {it["build"]["dockerfile"] for it in WORKERS.values()} == {"deploy/Dockerfile"}


def test_gpus_are_given_to_services_that_exist() -> None:
    gpu = yaml.safe_load((ROOT / "deploy" / "compose.gpu.yml").read_text())["services"]

    assert set(gpu) == {"score", "recaption", "select"}
