"""``wetread studies``: what happened to a study."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from node.cli.destinations import resend
from node.cli.options import config_option, read_stores
from node.cli.quarantine import quarantine, release


@click.group()
def studies() -> None:
    """Show what the node has received, made and delivered."""


studies.add_command(quarantine)
studies.add_command(release)
studies.add_command(resend)


@studies.command("list")
@config_option
@click.option("--limit", default=50, show_default=True, help="Newest studies shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_studies(config_file: Path, limit: int, as_json: bool) -> None:
    """List the studies that received something last."""
    stores = read_stores(config_file)
    rows = stores.index.list_studies(limit)
    quarantined = stores.quarantine.counts()
    if as_json:
        content = [
            {**asdict(row), "quarantined": quarantined.get(row.study_instance_uid, 0)}
            for row in rows
        ]
        click.echo(_json(content))
        return
    uid = Column(
        "study_instance_uid", min_width=max([len(r.study_instance_uid) for r in rows] or [0])
    )
    table = Table(uid, "state", "rev", "series", "instances", "quarantined", "last received")
    for row in rows:
        table.add_row(
            row.study_instance_uid,
            str(row.state),
            str(row.revision),
            str(row.series),
            str(row.instances),
            str(quarantined.get(row.study_instance_uid, "")),
            f"{row.last_received_at:%Y-%m-%d %H:%M:%S} UTC",
        )
    Console().print(table, crop=False)


@studies.command()
@click.argument("study_instance_uid")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(study_instance_uid: str, config_file: Path, as_json: bool) -> None:
    """Show one study: its revisions, plan, steps, and where each object went."""
    stores = read_stores(config_file)
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
                asdict(row)
                for row in stores.ledger.outbox.explained(
                    stores.ledger.deliveries(study_instance_uid, revision.revision)
                )
            ],
        }
        for revision in stores.index.revisions(study_instance_uid)
    ]
    content = {
        **asdict(study),
        "own_results_returned": stores.index.returned_count(study_instance_uid),
        "quarantined": stores.quarantine.counts().get(study_instance_uid, 0),
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
    stores = read_stores(config_file)
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
    if content["quarantined"]:
        console.print(
            f"  [bold]{content['quarantined']} instances are in quarantine[/bold]: "
            f"`wetread studies quarantine {content['study_instance_uid']}` says why, "
            f"`wetread studies release {content['study_instance_uid']}` lets them in"
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
        deliveries = Table(
            "object",
            "model",
            "destination",
            "state",
            "tries",
            "status",
            "next try",
            "reason",
        )
        for row in revision["deliveries"]:
            status = "" if row["status"] is None else f"0x{row['status']:04X}"
            deliveries.add_row(
                str(row["kind"]),
                row["model"],
                row["destination"],
                str(row["proof"] or row["state"]),
                str(row["attempts"]),
                status,
                "" if row["next_try_at"] is None else f"{row['next_try_at']:%H:%M:%S} UTC",
                row["proof_reason"] or row["reason"],
            )
        console.print(deliveries)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, default=str)
