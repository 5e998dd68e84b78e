"""`kaption takedown`, killed as the kernel would when it comes to a step: STEP, then arguments."""

import os
import signal
import sys

from workers.cli.app import main
from workers.cli.takedown import removal
from workers.stores.redis_takedowns import RedisTakedowns

STEPS = {
    "record": (removal, "add_takedown"),
    "redis": (RedisTakedowns, "add"),
    "keep": (removal.Removal, "keep"),
    "withdraw": (removal, "withdraw"),
    "blobs": (removal, "ThreadPoolExecutor"),
    "forget": (removal.Removal, "_forget"),
    "finish": (removal.Removal, "finish"),
}


def killed(step: str) -> None:
    """Let the first call of the step that changes anything be the process's last."""
    where, name = STEPS[step]
    real, withdrawn = getattr(where, name), removal.withdraw
    seen: list[str] = []

    def note(*arguments: object, **named: object) -> object:
        seen.append("withdrawn")
        return withdrawn(*arguments, **named)  # type: ignore[arg-type]  # as they came

    def die(*arguments: object, **named: object) -> object:
        # Blobs and entries are counted before anything is withdrawn.
        if step in ("blobs", "forget") and not seen:
            return real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    if step != "withdraw":
        removal.withdraw = note  # type: ignore[assignment]  # see above
    setattr(where, name, die)


if __name__ == "__main__":
    killed(sys.argv.pop(1))
    main()
