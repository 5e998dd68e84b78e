"""Fetches the jars of Apache Kafka with Maven, once, and keeps them."""

import hashlib
import re
import shutil
import subprocess
import tempfile
from fcntl import LOCK_EX, flock
from pathlib import Path

from kaption.workers.local.server import MissingServer, ServerError

_POM = Path(__file__).with_name("kafka-pom.xml")
_JAVA_MINIMUM = 17
_FETCH_TIMEOUT_S = 600


def java_program() -> str:
    """The path of a Java that can run Kafka. Raises MissingServer if there is none."""
    java = shutil.which("java")
    if java is None:
        raise MissingServer("Apache Kafka needs Java: apt-get install openjdk-17-jre-headless")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < _JAVA_MINIMUM:
        raise MissingServer(f"Apache Kafka needs Java {_JAVA_MINIMUM} or later: {answer.stderr}")
    return java


def kafka_jars(cache: Path) -> Path:
    """The folder with the broker's jars. The first call fetches them into `cache` (44 MB).

    Raises MissingServer if Maven is needed and not installed, ServerError if fetching fails.
    """
    revision = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    jars = cache / f"kafka-{revision}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingServer("Apache Kafka's jars need Maven: apt-get install maven")
    cache.mkdir(parents=True, exist_ok=True)
    # One process fetches and the others wait: Maven's own cache is not for several at once.
    with (cache / f"{jars.name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not jars.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                fetched = Path(folder, "jars")
                _run_maven(maven, fetched)
                # Rename the folder when it is complete, so that no process uses a part of it.
                fetched.rename(jars)
    return jars


def _run_maven(maven: str, target: Path) -> None:
    command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    answer = subprocess.run(
        [*command, f"-DoutputDirectory={target}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCH_TIMEOUT_S,
    )
    if answer.returncode != 0 or not target.is_dir():
        raise ServerError(f"Maven could not fetch Apache Kafka:\n{answer.stdout}{answer.stderr}")
