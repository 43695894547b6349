"""``wetread models import``: a package from a model that others trained."""

from __future__ import annotations

from pathlib import Path

import click

from engines.errors import EngineError


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out_dir", type=click.Path(path_type=Path))
def import_command(source: Path, out_dir: Path) -> None:
    """Make a package in OUT_DIR from a MONAI bundle, nnU-Net result or TorchScript network."""
    # Here, because it is an offline tool that no other command needs.
    from engines.importing import import_model

    try:
        made = import_model(source, out_dir)
    except EngineError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{made.root}: imported ({made.kind}); its known answer agrees")
    for note in made.notes:
        click.echo(f"  {note}")


__all__ = ["import_command"]
