"""``wetread echo`` and ``wetread send``: the node as a sender by hand."""

from __future__ import annotations

from pathlib import Path

import click
from pydicom.misc import is_dicom

from node.cli.options import config_option, find_destination, read_config
from node.deliver import kinds
from node.domain import DeliveryState, Outcome
from node.errors import TransientError


@click.command()
@click.argument("destination")
@config_option
def echo(destination: str, config_file: Path) -> None:
    """Ask DESTINATION for a C-ECHO; one of kind dicomweb for a QIDO-RS answer."""
    config = read_config(config_file)
    peer = find_destination(config, destination)
    try:
        kinds.verify(peer, config.receive.ae_title)
    except TransientError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{destination}: {kinds.address(peer)} answers")


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--to", "destination", required=True, help="Name of a configured destination.")
@config_option
def send(folder: Path, destination: str, config_file: Path) -> None:
    """Send the DICOM files in FOLDER (or one file) to a destination."""
    config = read_config(config_file)
    peer = find_destination(config, destination)
    candidates = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    files = [path for path in candidates if path.is_file() and is_dicom(path)]
    if not files:
        raise click.ClickException(f"{folder}: no DICOM file with a preamble")
    failed: list[str] = []
    with click.progressbar(length=len(files), label=f"{len(files)} files") as bar:

        def report(path: Path, outcome: Outcome) -> None:
            """Count one file, and keep what went wrong with it."""
            bar.update(1)
            if outcome.state is not DeliveryState.DELIVERED:
                failed.append(f"{path}: {outcome.reason}")

        try:
            kinds.send(files, peer, config.receive.ae_title, report)
        except TransientError as error:
            raise click.ClickException(str(error)) from error
    for line in failed:
        click.echo(line, err=True)
    click.echo(f"{len(files) - len(failed)} of {len(files)} stored at {destination}")
    if failed:
        raise SystemExit(1)
