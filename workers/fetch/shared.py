"""What several servers share: an address, and the name servers of a domain.

A dead machine may have a thousand names, and a dead name server hangs at each of its names. Each
name would get first tries of its own, and each try takes as long as a silent server may.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from kaption.workers.fetch.failure import FetchFailure
from kaption.workers.fetch.servers import FIRST_TRIES, Health
from kaption.workers.runtime.stage import Later, Reject


class Shared:
    """Remembers what answers, and what several hosts in a row got no answer from.

    A try begins with `begin` and ends with `end`. Any thread may call the methods.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._health = Health(clock)
        self._lock = threading.Lock()
        self._trying: dict[str, Counter[str]] = {}

    def begin(self, key: str, host: str, lanes: set[str] | None) -> None:
        """Begin a try for a host at the address or name servers `key`.

        Raises Reject while `key` is left alone, because three hosts in a row got no answer. Raises
        Later while enough other hosts try `key` for the first time: the record then waits in the
        lane `key`. `lanes` are the lanes that the record has waited in; None: it must not wait.
        """
        try:
            self._health.check(key)
        except Reject as reject:
            raise Reject(reject.reason, f"{host} needs {key}: {reject.detail}") from None
        with self._lock:
            hosts = self._trying.setdefault(key, Counter())
            new = host not in hosts and not self._health.answers(key)
            if new and len(hosts) >= FIRST_TRIES and lanes is not None and key not in lanes:
                lanes.add(key)
                raise Later(f"{key} is tried for the first time", 0.0, key)
            hosts[host] += 1

    def end(self, key: str, host: str, outcome: FetchFailure | bool) -> None:
        """Note the outcome: whether there was an answer, or a FetchFailure if none came in time."""
        with self._lock:
            hosts = self._trying[key]
            hosts[host] -= 1
            if not hosts[host]:
                del hosts[host]
            if not hosts:
                del self._trying[key]
        if outcome is True:
            self._health.answered(key)
        elif outcome:
            self._health.failed(key, outcome, host)
