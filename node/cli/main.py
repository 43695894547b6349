"""``wetread``: the commands, and what they have in common.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import click

from node import __version__
from node.cli.configuration import check, schema
from node.cli.demo import demo
from node.cli.models import models
from node.cli.peers import echo, send
from node.cli.run import run
from node.cli.studies import studies


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wetread")
def cli() -> None:
    """Wetread, a DICOM AI node beside your PACS.

    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
    """


for _command in (run, demo, check, schema, studies, models, send, echo):
    cli.add_command(_command)
