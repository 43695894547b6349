"""``wetread deliveries``: what each destination was sent, and what it has proven to hold."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from node.cli.options import config_option, read_stores
from node.domain import DeliveryState, Proof
from node.store.delivery import DeliveryRow


@click.command()
@config_option
@click.option("--study", "study_instance_uid", help="Only of this Study Instance UID.")
@click.option("--to", "destination", help="Only to this destination.")
@click.option(
    "--state", type=click.Choice([s.value for s in DeliveryState]), help="Only in this state."
)
@click.option("--proof", type=click.Choice([p.value for p in Proof]), help="Only with this proof.")
@click.option("--limit", default=200, show_default=True, help="Deliveries shown, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def deliveries(
    config_file: Path,
    study_instance_uid: str | None,
    destination: str | None,
    state: str | None,
    proof: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Search the ledger: each object at each destination, sent, proven or not."""
    ledger = read_stores(config_file).ledger
    rows = ledger.find_deliveries(
        study_instance_uid=study_instance_uid,
        destination=destination,
        state=DeliveryState(state) if state else None,
        proof=Proof(proof) if proof else None,
        limit=limit,
    )
    rows = ledger.outbox.explained(rows)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2, default=str))
    else:
        _print(rows)


def _print(rows: list[DeliveryRow]) -> None:
    table = Table("study", "object", "destination", "state", "sent", "proof", "reason")
    for row in rows:
        table.add_row(
            row.study_instance_uid,
            f"{row.kind} {row.sop_instance_uid}",
            row.destination,
            str(row.state),
            _time(row.sent_at),
            proof_in_words(row),
            row.proof_reason or row.reason,
        )
    Console().print(table, crop=False)


def proof_in_words(row: DeliveryRow) -> str:
    """Say how a delivery stands with its proof."""
    if row.proof is None:
        return ""
    if row.proof is Proof.PROVEN:
        return f"proven by {row.proven_by} {_time(row.proven_at)}"
    return str(row.proof)


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
