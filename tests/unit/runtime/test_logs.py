import io
import json
import logging
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from kaption.workers.runtime.logs import RateLimit

pytestmark = pytest.mark.slow  # most of these tests start a process


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
    code = f"{begin}; configure()\n{code}"
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


ENTRY = """
from types import SimpleNamespace
from kaption.schemas import Position
from kaption.testing.records import incoming, raw_pair
from kaption.workers.runtime.entry import Entry, current
headers = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
raw = SimpleNamespace(topic="pairs.raw", partition=1, offset=7, headers=headers)
entry = Entry(raw, None, 0, 0)
log = logging.getLogger("anyone")
"""


def test_lines_name_the_record_at_which_their_thread_is() -> None:
    lines = logged(
        f"{ENTRY}current.entry = entry; log.info('not decoded yet')\n"
        "entry.message = incoming(raw_pair(3), 9)\n"
        "log.info('decoded', extra={'pair_id': 'named by the line itself'})\n"
        "current.entry = None; log.info('about no record')"
    )

    first, second, third = lines
    assert first["position"] == "pairs.raw/1/7"
    assert first["trace_id"] == second["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "pair_id" not in first
    assert second["pair_id"] == "named by the line itself"
    assert second["origin"].endswith("/9")
    assert {"pair_id", "trace_id", "origin", "position"}.isdisjoint(third)


def test_a_header_that_is_no_text_costs_no_line() -> None:
    (line,) = logged(
        f"{ENTRY}raw.headers = [('traceparent', bytes([255]))]; current.entry = entry\n"
        "log.info('here')"
    )

    assert line["event"] == "here"
    assert "trace_id" not in line


def test_a_terminal_shows_no_steps_of_libraries() -> None:
    # Given a terminal, and a line and a warning of each library, of a user's stage and of ours
    names = ["root", "uvicorn.error", "httpx", "redis", "mine", "kaption.workers"]
    code = f"""
class Terminal(io.StringIO):
    def isatty(self):
        return True

shown = Terminal()
configure(shown)
for name in {names}:
    log = logging.getLogger(None if name == "root" else name)
    log.info("step of " + name)
    log.warning("trouble of " + name)
configure()
logging.getLogger().info(shown.getvalue())
"""
    (line,) = logged("import io\n" + code)
    # When they are shown, then libraries tell their troubles alone
    told = re.findall("(?:step|trouble) of [a-z.]+", line["event"])
    assert told == [
        *("trouble of root", "trouble of uvicorn.error", "trouble of httpx"),
        *("step of mine", "trouble of mine"),
        *("step of kaption.workers", "trouble of kaption.workers"),
    ]
