"""``wetread models``: the model packages of this node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engines.errors import EngineError
from engines.registry import Catalogue, packages
from engines.registry import verify as verify_package
from node.cli.options import config_option, read_config


@click.group()
def models() -> None:
    """Show and verify model packages."""


def _models_options(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--models-dir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Folder with the packages; left out: models_dir of the configuration.",
    )(config_option(function))


@models.command("list")
@_models_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(models_dir: Path | None, config_file: Path, as_json: bool) -> None:
    """List the packages, and what is wrong with those that cannot be used."""
    catalogue = _catalogue(models_dir, config_file)
    rows = [
        {
            "name": package.name,
            "version": package.version,
            "task": package.manifest.model.task,
            "title": package.manifest.metadata.title,
            "intended_use": package.manifest.metadata.intended_use,
            "digest": package.digest,
        }
        for package in catalogue.packages
    ]
    broken = {folder: str(error) for folder, error in catalogue.errors.items()}
    if as_json:
        click.echo(json.dumps({"packages": rows, "broken": broken}, indent=2))
    else:
        table = Table("name", "version", "task", "title", "intended use")
        for row in rows:
            table.add_row(*(row[k] for k in ("name", "version", "task", "title", "intended_use")))
        Console().print(table)
        _print_broken(broken)
    if broken:
        raise SystemExit(1)


@models.command()
@click.argument("names", nargs=-1)
@_models_options
def verify(names: tuple[str, ...], models_dir: Path | None, config_file: Path) -> None:
    """Verify packages: manifest, hashes, model file and self-test; all of them without NAMES."""
    catalogue = _catalogue(models_dir, config_file)
    known = {package.name for package in catalogue.packages}
    failed = False
    for name in sorted(set(names) - known - set(catalogue.errors)):
        click.echo(f"{name}: no such package; there are {', '.join(sorted(known))}", err=True)
        failed = True
    for package in catalogue.packages:
        if names and package.name not in names:
            continue
        try:
            findings = verify_package(package)
        except EngineError as error:
            findings = [str(error)]
        click.echo(f"{package.name} {package.version}: {'wrong' if findings else 'good'}")
        for finding in findings:
            click.echo(f"  {finding}", err=True)
        failed |= bool(findings)
    broken = {f: str(e) for f, e in catalogue.errors.items() if not names or f in names}
    _print_broken(broken)
    if failed or broken:
        raise SystemExit(1)


def _catalogue(models_dir: Path | None, config_file: Path) -> Catalogue:
    try:
        return packages(models_dir or read_config(config_file).models_dir)
    except EngineError as error:
        raise click.ClickException(str(error)) from error


def _print_broken(broken: dict[str, str]) -> None:
    for folder, message in broken.items():
        click.echo(f"{folder}: wrong", err=True)
        for line in message.splitlines():
            click.echo(f"  {line}", err=True)
