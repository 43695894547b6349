"""``wetread check`` and ``wetread schema``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engines.package import manifest_json_schema
from node.config.document import render_reference
from node.config.load import check_file, json_schema


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(file: Path, as_json: bool) -> None:
    """Check a configuration FILE and print every mistake at once."""
    config, problems = check_file(file)
    if as_json:
        rows = [
            {
                "file": str(file),
                "line": p.line,
                "key": p.key,
                "message": p.message,
                "severity": p.severity,
            }
            for p in problems
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        for problem in problems:
            click.echo(problem.render(file), err=problem.severity == "error")
        if config is not None:
            click.echo(
                f"{file}: good: {len(config.rules)} rules, {len(config.destinations)} destinations"
            )
    if config is None:
        raise SystemExit(2)


@click.command()
@click.option("--markdown", is_flag=True, help="Print the reference page instead.")
@click.option("--manifest", is_flag=True, help="Of a model package's manifest.yaml instead.")
def schema(markdown: bool, manifest: bool) -> None:
    """Print the JSON Schema of the configuration, for editors."""
    if markdown and manifest:
        raise click.UsageError("--markdown prints the configuration's page only")
    if markdown:
        click.echo(render_reference(), nl=False)
    else:
        click.echo(json.dumps(manifest_json_schema() if manifest else json_schema(), indent=2))
