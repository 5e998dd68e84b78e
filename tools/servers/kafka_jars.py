"""The jars of Apache Kafka, fetched by Maven once and kept."""

import hashlib
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from kaption.workers.local.process import MissingServer, ServerError

_POM = Path(__file__).with_name("kafka-pom.xml")
_JAVA_MINIMUM = 17
_FETCH_TIMEOUT_S = 600


def java_program() -> str:
    """Return the path of a Java that can run Kafka; raises MissingServer if there is none."""
    java = shutil.which("java")
    if java is None:
        raise MissingServer("Apache Kafka needs Java: apt-get install openjdk-17-jre-headless")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < _JAVA_MINIMUM:
        raise MissingServer(f"Apache Kafka needs Java {_JAVA_MINIMUM} or later: {answer.stderr}")
    return java


def kafka_jars(cache: Path) -> Path:
    """Return the folder with the broker's jars, fetched into `cache` at the first call (44 MB).

    Raises MissingServer when they must be fetched and Maven is not installed, ServerError when
    fetching fails.
    """
    revision = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    jars = cache / f"kafka-{revision}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingServer("Apache Kafka's jars need Maven: apt-get install maven")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fetched = Path(folder, "jars")
        _run_maven(maven, fetched)
        # Renamed when complete, so that nobody sees half of it. If another process was quicker
        # the rename fails, and what that one made is the same.
        with suppress(OSError):
            fetched.rename(jars)
    if not jars.is_dir():
        raise ServerError(f"{jars} could not be written")
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
