"""``wetread destinations`` and ``wetread studies resend``: how delivery stands, and once more."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from node.app.stores import utc_now
from node.cli.options import config_option, find_destination, read_config, read_stores
from node.domain import Proof
from node.store.outbox import OutboxSummary


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def destinations(config_file: Path, as_json: bool) -> None:
    """Show each destination: whether it takes what it is sent, and what waits for it."""
    configured = read_config(config_file).destinations
    ledger = read_stores(config_file).ledger
    known = {row.destination: row for row in ledger.outbox.summaries()}
    proofs = ledger.proofs.by_destination()
    rows = [known.get(name, _untouched(name)) for name in sorted({*configured, *known})]
    if as_json:
        content = [
            {
                **asdict(row),
                "configured": row.destination in configured,
                "proofs": proofs.get(row.destination, {}),
            }
            for row in rows
        ]
        click.echo(json.dumps(content, indent=2, default=str))
        return
    for row in rows:
        configured_as = _state(row) if row.destination in configured else "not in the configuration"
        click.echo(f"{row.destination}: {configured_as}")
        oldest = f", the oldest since {_time(row.oldest)}" if row.oldest else ""
        click.echo(f"  {row.waiting} objects wait{oldest}; {row.failed} have failed")
        if found := proofs.get(row.destination):
            counts = ", ".join(f"{count} {proof.value}" for proof, count in found.items())
            click.echo(f"  proof that it holds them: {counts}")
        if found and (alarmed := found[Proof.ALARMED]):
            click.echo(
                f"  ALARM: it has not proven to hold {alarmed} objects; see "
                f"`wetread deliveries --to {row.destination} --proof alarmed`"
            )


@click.command()
@click.argument("study_instance_uid")
@config_option
@click.option("--to", "destination", help="Only to this destination; left out: to all.")
@click.option("--failed-only", is_flag=True, help="Only what was refused or given up.")
def resend(
    study_instance_uid: str, config_file: Path, destination: str | None, failed_only: bool
) -> None:
    """Send the results of a study again, the same objects under the same UIDs.

    A destination that is away is tried at once.
    """
    if destination is not None:
        find_destination(read_config(config_file), destination)
    stores = read_stores(config_file)
    if stores.index.study(study_instance_uid) is None:
        raise click.ClickException(f"no study {study_instance_uid} was received")
    count = stores.ledger.outbox.resend(
        study_instance_uid, destination, failed_only=failed_only, now=utc_now()
    )
    if not count:
        which = "failed" if failed_only else "ended"
        raise click.ClickException(f"no delivery of {study_instance_uid} has {which}")
    click.echo(f"{count} objects of {study_instance_uid} will be sent again")


def _untouched(name: str) -> OutboxSummary:
    return OutboxSummary(name, 0, 0, None, 0, "", None, None)


def _state(row: OutboxSummary) -> str:
    if row.away_since is None:
        return "reachable"
    tries = f"{row.failures} tries in a row, the next at {_time(row.next_try_at)}"
    return f"away since {_time(row.away_since)} ({tries}): {row.reason}"


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
