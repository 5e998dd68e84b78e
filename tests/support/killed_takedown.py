"""`kaption takedown`, killed with SIGKILL when it reaches STEP: STEP, then its arguments."""

import os
import signal
import sys
from typing import Any

from kaption.workers.cli.app import main
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.takedown import removal
from kaption.workers.takedown.withdraw import withdraw

STEPS = {
    "record": (removal, "add_takedown"),
    "redis": (TakedownList, "add"),
    "keep": (removal.Removal, "keep"),
    "images": (removal.Removal, "remove"),
    "withdraw": (removal, "withdraw"),
    "blobs": (removal, "ThreadPoolExecutor"),
    "forget": (removal.Removal, "_forget"),
    "finish": (removal.Removal, "finish"),
}


def kill_at(step: str) -> None:
    """Kill the process at the first call of the step that would change something."""
    where, name = STEPS[step]
    real = getattr(where, name)
    withdrawn: list[int] = []

    def note(*arguments: Any) -> None:
        withdrawn.append(withdraw(*arguments))

    def die(*arguments: Any, **named: Any) -> Any:
        # Blobs and entries are counted before anything is withdrawn.
        if step in ("blobs", "forget") and not withdrawn:
            return real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(removal, "withdraw", note)  # noqa: B010  # an assignment would be a type error
    setattr(where, name, die)


if __name__ == "__main__":
    kill_at(sys.argv.pop(1))
    main()
