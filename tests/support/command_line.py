"""Parsing of command lines as `kaption` parses them, without running them."""

from __future__ import annotations

import typer
from typer.core import TyperGroup

from kaption.workers.cli.app import app


def parse(arguments: list[str]) -> str:
    """Return the command's name. Raises KeyError or click's UsageError for unknown words."""
    command = typer.main.get_command(app)
    names = []
    while isinstance(command, TyperGroup) and (arguments or not command.invoke_without_command):
        name, *arguments = arguments
        names.append(name)
        command = command.commands[name]
    command.make_context(names[-1], arguments)
    return " ".join(names)
