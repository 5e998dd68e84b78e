"""One scorer for all stages of a process, so that its model lies in memory once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from kaption.workers.models.scorer import Scorer

if TYPE_CHECKING:
    from kaption.workers.policy.score import ClipPolicy

_scorers: WeakValueDictionary[str, SharedScorer] = WeakValueDictionary()
_loading = Lock()


def shared(policy: ClipPolicy, load: Callable[[ClipPolicy], Scorer]) -> Scorer:
    """The scorer of this policy that a stage of the process has, else a new one. Raises Fatal."""
    key = policy.model_dump_json()
    with _loading:
        found = _scorers.get(key)
        if found is None:
            found = _scorers[key] = SharedScorer(load(policy))
        return cast(Scorer, found)


class SharedScorer:
    """A scorer of several stages: a call waits for another stage's, except in `preprocess`."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._lock = Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._scorer, name)
        if name == "preprocess" or not callable(found):
            return found

        def alone(*arguments: Any) -> Any:
            with self._lock:
                return found(*arguments)

        return alone
