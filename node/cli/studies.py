"""``wetread studies``: what happened to a study."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from node.app import Stores, open_stores
from node.cli.options import ConfigurationFailed, config_option, read_config
from node.errors import ConfigError


@click.group()
def studies() -> None:
    """Show what the node has received, made and delivered."""


@studies.command("list")
@config_option
@click.option("--limit", default=50, show_default=True, help="Newest studies shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_studies(config_file: Path, limit: int, as_json: bool) -> None:
    """List the studies that received something last."""
    rows = _stores(config_file).index.list_studies(limit)
    if as_json:
        click.echo(_json([asdict(row) for row in rows]))
        return
    uid = Column(
        "study_instance_uid", min_width=max([len(r.study_instance_uid) for r in rows] or [0])
    )
    table = Table(uid, "state", "rev", "series", "instances", "last received")
    for row in rows:
        table.add_row(
            row.study_instance_uid,
            str(row.state),
            str(row.revision),
            str(row.series),
            str(row.instances),
            f"{row.last_received_at:%Y-%m-%d %H:%M:%S} UTC",
        )
    Console().print(table, crop=False)


@studies.command()
@click.argument("study_instance_uid")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(study_instance_uid: str, config_file: Path, as_json: bool) -> None:
    """Show one study: its revisions, plan, steps, and where each object went."""
    stores = _stores(config_file)
    study = stores.index.study(study_instance_uid)
    if study is None:
        raise click.ClickException(f"no study {study_instance_uid} was received")
    revisions = [
        {
            **asdict(revision),
            "steps": [
                asdict(s) for s in stores.ledger.steps(study_instance_uid, revision.revision)
            ],
            "deliveries": [
                asdict(d) for d in stores.ledger.deliveries(study_instance_uid, revision.revision)
            ],
        }
        for revision in stores.index.revisions(study_instance_uid)
    ]
    content = {
        **asdict(study),
        "own_results_returned": stores.index.returned_count(study_instance_uid),
        "revisions": revisions,
    }
    if as_json:
        click.echo(_json(content))
    else:
        _print_study(content)


@studies.command()
@click.argument("study_instance_uid")
@config_option
def rerun(study_instance_uid: str, config_file: Path) -> None:
    """Plan an ended study anew, after a rule, a model or a destination was mended.

    What has been made and delivered already is neither made nor sent again.
    """
    stores = _stores(config_file)
    study = stores.index.study(study_instance_uid)
    if study is None:
        raise click.ClickException(f"no study {study_instance_uid} was received")
    if not stores.index.reopen(study_instance_uid):
        raise click.ClickException(f"study {study_instance_uid} is {study.state}: it has not ended")
    click.echo(f"revision {study.revision + 1} of {study_instance_uid} will be planned")


def _print_study(content: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]study {content['study_instance_uid']}[/bold]: {content['state']}")
    if content["reason"]:
        console.print(f"  {content['reason']}")
    console.print(
        f"  {content['instances']} instances in {content['series']} series; "
        f"{content['own_results_returned']} own results came back and were left out"
    )
    for revision in content["revisions"]:
        console.print(
            f"\n[bold]revision {revision['revision']}[/bold]: {revision['state']} "
            f"(complete {revision['complete_at']:%Y-%m-%d %H:%M:%S} UTC: "
            f"{revision['complete_reason']})"
        )
        plan = revision["plan"] or {"runs": (), "not_run": ()}
        for run in plan["runs"]:
            console.print(
                f"  rule {run['rule']}: {run['model']} {run['model_version']} on "
                f"{len(run['sop_instance_uids'])} images of series {run['series_instance_uid']}"
            )
        for reason in plan["not_run"]:
            console.print(f"  not run: {reason}")
        steps = Table("step", "subject", "seconds", "problem")
        for step in revision["steps"]:
            steps.add_row(step["step"], step["subject"], f"{step['seconds']:.2f}", step["problem"])
        console.print(steps)
        deliveries = Table("object", "model", "destination", "state", "tries", "status", "reason")
        for row in revision["deliveries"]:
            status = "" if row["status"] is None else f"0x{row['status']:04X}"
            deliveries.add_row(
                str(row["kind"]),
                row["model"],
                row["destination"],
                str(row["state"]),
                str(row["attempts"]),
                status,
                row["reason"],
            )
        console.print(deliveries)


def _stores(config_file: Path) -> Stores:
    try:
        return open_stores(read_config(config_file))
    except ConfigError as error:
        raise ConfigurationFailed(str(error)) from error


def _json(content: object) -> str:
    return json.dumps(content, indent=2, default=str)
