"""``wetread models triton-repository``: the packages as Triton's model repository."""

from __future__ import annotations

from pathlib import Path

import click

from engines.backends.kserve.naming import served_name
from engines.backends.kserve.repository import write_model
from engines.catalogue import packages
from engines.errors import EngineError
from node.cli.options import models_options, read_config


@click.command("triton-repository")
@click.argument("out_dir", type=click.Path(path_type=Path, file_okay=False))
@click.argument("names", nargs=-1)
@models_options
def triton_repository(
    out_dir: Path, names: tuple[str, ...], models_dir: Path | None, config_file: Path
) -> None:
    """Put packages into Triton's model repository OUT_DIR; every version, or those of NAMES."""
    try:
        catalogue = packages(models_dir or read_config(config_file).models_dir)
    except EngineError as error:
        raise click.ClickException(str(error)) from error
    known = {package.name for package in catalogue.packages}
    problems = [
        f"{name}: no such package; there are {', '.join(sorted(known)) or 'none'}"
        for name in sorted(set(names) - known - set(catalogue.errors))
    ]
    problems += [
        f"{folder}: {error}"
        for folder, error in catalogue.errors.items()
        if not names or folder in names
    ]
    for package in catalogue.packages:
        if names and package.name not in names:
            continue
        try:
            written = write_model(package, out_dir)
        except EngineError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{error.filename or out_dir}: {error.strerror}")
        else:
            click.echo(f"{served_name(package)}: {'written' if written else 'already there'}")
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)


__all__ = ["triton_repository"]
