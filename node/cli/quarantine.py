"""``wetread studies quarantine`` and ``release``: what contradicts the rest of its study."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from node.app.stores import utc_now
from node.cli.options import config_option, read_stores


@click.command()
@click.argument("study_instance_uid", required=False)
@config_option
@click.option("--limit", default=100, show_default=True, help="Newest instances shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def quarantine(
    study_instance_uid: str | None, config_file: Path, limit: int, as_json: bool
) -> None:
    """List the instances that are kept but not used, of one study or of all."""
    stores = read_stores(config_file)
    rows = stores.quarantine.list(study_instance_uid, limit)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2, default=str))
        return
    if not rows:
        click.echo("nothing is in quarantine")
        return
    width = max(len(uid) for row in rows for uid in (row.study_instance_uid, row.sop_instance_uid))
    uids = Column("study_instance_uid / sop_instance_uid", min_width=width)
    table = Table(uids, "received", "from", "reason")
    for row in rows:
        table.add_row(
            f"{row.study_instance_uid}\n{row.sop_instance_uid}",
            f"{row.received_at:%Y-%m-%d %H:%M:%S} UTC",
            row.calling_ae_title,
            row.reason,
        )
    console = Console()
    console.print(table, crop=False)
    total = sum(
        count
        for study, count in stores.quarantine.counts().items()
        if study_instance_uid in (None, study)
    )
    if total > len(rows):
        console.print(f"the newest {len(rows)} of {total}")


@click.command()
@click.argument("study_instance_uid")
@config_option
@click.option("--sop-instance-uid", help="Only this instance; left out: all of the study.")
def release(study_instance_uid: str, config_file: Path, sop_instance_uid: str | None) -> None:
    """Let instances in quarantine be used; their study is planned anew with them.

    It holds for what is there, not for what is still to come.
    """
    stores = read_stores(config_file)
    released = stores.quarantine.release(study_instance_uid, sop_instance_uid, now=utc_now())
    if not released:
        of_study = f"of study {study_instance_uid}"
        if sop_instance_uid:
            raise click.ClickException(f"{sop_instance_uid} {of_study} is not in quarantine")
        raise click.ClickException(f"nothing {of_study} is in quarantine")
    study = stores.index.study(study_instance_uid)
    revision = "" if study is None else f"; revision {study.revision + 1} of it will be planned"
    instances = "1 instance" if released == 1 else f"{released} instances"
    click.echo(f"{instances} of {study_instance_uid} released{revision}")
