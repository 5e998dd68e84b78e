"""What a local HTTP server answers, and waits that take no time."""

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from kaption.workers.fetch.fetcher import Fetched, Fetcher
from kaption.workers.runtime.stage import Later


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 where nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Waits(list[float]):
    """A sleep that takes no time, and the clock that it puts forward."""

    now = 0.0

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


class PatientFetcher(Fetcher):
    """A fetcher that waits by itself, as the engine does, until there is an outcome."""

    def __init__(self, sleep: Callable[[float], object], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sleep = sleep

    def fetch(self, url: str, page_url: str | None = None) -> Fetched:
        while True:
            try:
                return super().fetch(url, page_url)
            except Later as later:
                self.sleep(later.after_s)
