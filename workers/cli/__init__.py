"""The program `kaption`: one file for each command; `app` lists them."""


def main() -> None:
    """Run a command. Ctrl-C ends it in silence also while its modules are still loaded."""
    try:
        from kaption.workers.cli import app

        app.main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
