"""The program `kaption`: one file for each command; `app` lists them."""

import os
import sys


def main() -> None:
    """Run a command. Ctrl-C ends it in silence also while its modules are still loaded.

    What this file and those before it import is loaded before anything can be caught: nothing that
    the interpreter has not loaded already.
    """
    try:
        import signal

        handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if handled:  # and not ignored, as in the background of a script
            # To raise here was rejected: a library may catch it, or tell it and go on.
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        from kaption.workers.cli import app

        if handled:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app.main()
    except KeyboardInterrupt:
        _end(130)
    except SystemExit as ended:
        _end(ended.code)


def _end(code: str | int | None) -> None:
    """End the process, at once if a thread was left behind in a stage."""
    import logging

    from kaption.workers.runtime.stage_thread import StageThread

    if left := StageThread.left_behind():
        logging.getLogger(__name__).info("ended inside a stage", extra={"threads": left})
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else bool(code))
    sys.exit(code)
