"""``wetread models``: the model packages of this node."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

import click
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from engines.catalogue import Catalogue, asked_by, packages
from engines.checks import Check
from engines.checks import checks as checks_of
from engines.errors import EngineError
from engines.package import Package
from engines.registry import availability
from node.cli.model_bench import bench
from node.cli.model_build import build
from node.cli.model_import import import_command
from node.cli.model_repository import triton_repository
from node.cli.options import models_options, read_config
from node.config.condition import check_field, parse_condition
from node.store.lane import read_lane


@click.group()
def models() -> None:
    """Show and verify model packages."""


models.add_command(bench)
models.add_command(build)
models.add_command(import_command)
models.add_command(triton_repository)


@models.command("list")
@models_options
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
        report = {"packages": rows, "broken": broken, "backends": dict(availability())}
        click.echo(json.dumps(report, indent=2))
    else:
        table = Table("name", "version", "task", "title", "intended use")
        for row in rows:
            table.add_row(*(row[k] for k in ("name", "version", "task", "title", "intended_use")))
        Console().print(table)
        for name, reason in availability():
            click.echo(f"backend {name}: {'can run here' if reason is None else reason}")
        if building := _building(models_dir, config_file):
            click.echo(f"being built by the node, and studies wait for it: {building}")
        _print_broken(broken)
    if broken:
        raise SystemExit(1)


def _building(models_dir: Path | None, config_file: Path) -> str | None:
    """How far the work process is with the plans it builds at its start; None: it builds none."""
    if models_dir is not None:
        return None
    lane = read_lane(read_config(config_file).data_dir)
    return lane.building if lane else None


@models.command()
@click.argument("names", nargs=-1)
@models_options
@click.option("--backend", default="onnx", help="Backend to run the self-test on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    names: tuple[str, ...], models_dir: Path | None, config_file: Path, backend: str, as_json: bool
) -> None:
    """Verify packages: manifest, hashes, model file and self-test; all of them without NAMES."""
    catalogue = _catalogue(models_dir, config_file)
    known = {package.name for package in catalogue.packages}
    unknown = sorted(set(names) - known - set(catalogue.errors))
    broken = {f: str(e) for f, e in catalogue.errors.items() if not names or f in names}
    wanted = [each for each in catalogue.packages if not names or each.name in names]
    done = {f"{each.name} {each.version}": _checks(each, backend, known) for each in wanted}
    done |= {f: [Check("manifest", tuple(text.splitlines()))] for f, text in broken.items()}
    if as_json:
        report = {
            name: [{"check": check.name, "findings": check.findings} for check in checks]
            for name, checks in done.items()
        }
        click.echo(json.dumps(report, indent=2))
    else:
        _print_checks(done)
    for name in unknown:
        click.echo(f"{name}: no such package; there are {', '.join(sorted(known))}", err=True)
    if unknown or any(check.findings for checks in done.values() for check in checks):
        raise SystemExit(1)


def _checks(package: Package, backend: str, known: Set[str]) -> list[Check]:
    """Every check of one package whose manifest is valid, beside the packages of some names."""
    done = [Check("manifest"), Check("select", tuple(_wrong_conditions(package)))]
    others = [
        f"{package.where(*key)}: there is no package {name}"
        for key, name in asked_by(package).items()
        if name not in known
    ]
    done += [Check("packages asked", tuple(others))] if others else []
    try:
        done.extend(checks_of(package, backend_name=backend))
    except EngineError as error:
        done.append(Check("load", (str(error),)))
    return done


def _wrong_conditions(package: Package) -> Iterator[str]:
    """What the node cannot interpret under ``select``."""
    for name, raw in package.manifest.select.items():
        try:
            problem = check_field(name)
            if not problem:
                parse_condition(raw)
        except ValidationError as error:
            problem = "; ".join(each["msg"] for each in error.errors())
        if problem:
            yield f"{package.where('select', name)}: {problem}"


def _print_checks(done: Mapping[str, Sequence[Check]]) -> None:
    for name, checks in done.items():
        wrong = [check for check in checks if check.findings]
        names = ", ".join(check.name for check in wrong or checks)
        click.echo(f"{name}: {'wrong' if wrong else 'good'} ({names})")
        for check in wrong:
            for finding in check.findings:
                click.echo(f"  {finding}", err=True)


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
