import io
import json
import logging

from workers.runtime.logs import RateLimit


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


def test_lines_are_json_where_nobody_watches() -> None:
    import subprocess
    import sys

    code = (
        "import structlog, logging; from workers.runtime.logs import configure; configure();"
        "structlog.get_logger('a').info('started', stage='toy');"
        "logging.getLogger('b').warning('plain %d', 3)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in io.StringIO(answer.stderr)]
    assert (lines[0]["event"], lines[0]["stage"], lines[0]["level"]) == ("started", "toy", "info")
    assert lines[1]["event"] == "plain 3"
