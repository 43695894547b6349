"""``wetread``: the commands, and what they have in common.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from node import __version__

COMMANDS: Final = {
    "run": "node.cli.run",
    "demo": "node.cli.demo",
    "check": "node.cli.configuration",
    "schema": "node.cli.configuration",
    "studies": "node.cli.studies",
    "destinations": "node.cli.destinations",
    "deliveries": "node.cli.deliveries",
    "models": "node.cli.models",
    "findings": "node.cli.findings",
    "reports": "node.cli.reports",
    "discordances": "node.cli.discordances",
    "send": "node.cli.peers",
    "echo": "node.cli.peers",
    "probe": "node.cli.probe",
}
"""The module of each command; the command has its own name there."""


class LazyGroup(click.Group):
    """Imports a command when it is asked for: a receiver must not load what a demo needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, as ``--help`` lists them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or give None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wetread")
def cli() -> None:
    """Wetread, a DICOM AI node beside your PACS.

    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
    """
