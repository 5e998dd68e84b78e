"""`kaption settings`: every setting with its meaning, its value and where that comes from."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from kaption.workers.cli.common import Config
from kaption.workers.settings import UserError, explain, load_settings, no_such_setting

_WIDTH = 80
_INDENT = "    "


def command(
    section: Annotated[
        str | None, typer.Argument(help="Only these, for example kafka or ingest.fetch.")
    ] = None,
    config: Config = None,
) -> None:
    """Show each setting with its value, its unit, where the value comes from and what it means.

    Secrets are hidden. Values that are not the default are bold.

    Examples: `kaption settings`, `kaption settings sink`,
    `kaption settings kafka.bootstrap --config kaption.toml`
    """
    shown = [
        each
        for each in explain(load_settings(config), config)
        if section is None or f"{each.setting.name}.".startswith(f"{section}.")
    ]
    if not shown:
        raise UserError(no_such_setting(str(section)))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_WIDTH, highlight=False)
    for each in shown:
        about = "; ".join(filter(None, (each.setting.unit, each.source)))
        style = "" if each.source == "default" else "bold"
        # Values are not wrapped, so that they can be copied and searched for.
        line = Text(f"{each.setting.name} = {each.value or '(unset)'} ({about})", style)
        console.print(line, soft_wrap=True)
        wrapped = textwrap.wrap(each.setting.description, console.width - len(_INDENT))
        console.print(Text(textwrap.indent("\n".join(wrapped), _INDENT)), soft_wrap=True)
