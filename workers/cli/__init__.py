"""The program `kaption`: one file for each command; `app` lists them."""

import logging
import os
import sys


def main() -> None:
    """Run a command. Ctrl-C ends it in silence also while its modules are still loaded."""
    try:
        from kaption.workers.cli import app

        app.main()
    except KeyboardInterrupt:
        _end(130)
    except SystemExit as ended:
        _end(ended.code)


def _end(code: str | int | None) -> None:
    """End the process, at once if a thread was left behind in a stage."""
    from kaption.workers.runtime.stage_thread import StageThread

    if left := StageThread.left_behind():
        logging.getLogger(__name__).info("ended inside a stage", extra={"threads": left})
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else bool(code))
    sys.exit(code)
