import io
import json
import logging
import subprocess
import sys
from collections import Counter
from typing import Any

from kaption.workers.runtime.logs import RateLimit


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("kafka.x", logging.ERROR, "f", 1, message, arguments, None)


def test_a_storm_of_one_message_is_cut_and_counted() -> None:
    now = [0.0]
    limit = RateLimit(3, 10.0, lambda: now[0])
    assert [limit.filter(record("port %d", n)) for n in range(5)] == [True] * 3 + [False] * 2
    assert limit.filter(record("another"))
    now[0] = 11.0
    later = record("port %d", 9)
    assert limit.filter(later)
    assert later.getMessage() == "port 9 (and 2 more like it before)"


def logged(code: str) -> list[dict[str, Any]]:
    """The lines of a process of its own: `configure` takes the root logger from pytest."""
    begin = "import logging; from kaption.workers.runtime.logs import configure"
    code = f"{begin}; configure();{code}"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in io.StringIO(answer.stderr)]


def test_lines_are_json_where_nobody_watches() -> None:
    lines = logged(
        "logging.getLogger('a').info('started', extra={'stage': 'toy'});"
        "logging.getLogger('b').warning('plain %d', 3)"
    )

    assert (lines[0]["event"], lines[0]["stage"], lines[0]["level"]) == ("started", "toy", "info")
    assert lines[1]["event"] == "plain 3"


def test_only_the_storms_of_the_kafka_client_are_cut() -> None:
    lines = logged(
        "[logging.getLogger(name).error('port %d', n)"
        " for n in range(40) for name in ('kafka.conn', 'kafkaesque')]"
    )

    assert Counter(line["logger"] for line in lines) == {"kafka.conn": 20, "kafkaesque": 40}
