"""``wetread discordances``: where reports and models contradict each other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from node.app.stores import utc_now
from node.cli.options import config_option, read_config, read_stores
from node.plan.drift import drift
from node.reports import DiscordanceState, Verdict

if TYPE_CHECKING:
    from node.app.stores import Stores
    from node.store.discordances import DiscordanceRow


@click.group()
def discordances() -> None:
    """Work off the contradictions between reports and models."""


@discordances.command("list")
@config_option
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in DiscordanceState), "all"]),
    default=DiscordanceState.OPEN.value,
    show_default=True,
    help="Which ones.",
)
@click.option("--limit", default=100, show_default=True, help="Newest shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_discordances(config_file: Path, state: str, limit: int, as_json: bool) -> None:
    """List discordances, the newest first."""
    stores = read_stores(config_file)
    rows = stores.discordances.newest(None if state == "all" else DiscordanceState(state), limit)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2, default=str))
        return
    table = Table("id", "state", "finding", "side", "report", "model", "value", "opened", "study")
    for row in rows:
        table.add_row(
            row.id,
            row.verdict or row.state.value,
            row.concept,
            row.laterality,
            row.reported,
            f"{row.model}: {'absent' if row.outcome == 'report only' else 'present'}",
            "" if row.value is None else f"{row.value:.4g} {row.measure}",
            f"{row.opened_at:%Y-%m-%d %H:%M} UTC",
            row.study_instance_uid,
        )
    Console().print(table, crop=False)


@discordances.command()
@click.argument("discordance")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(discordance: str, config_file: Path, as_json: bool) -> None:
    """Show one discordance and everything else that was compared in its study."""
    stores = read_stores(config_file)
    row = _find(stores, discordance)
    compared = stores.discordances.comparisons(row.study_instance_uid)
    if as_json:
        content = {**asdict(row), "comparisons": [asdict(one) for one in compared]}
        click.echo(json.dumps(content, indent=2, default=str))
        return
    console = Console(highlight=False)
    for name, value in asdict(row).items():
        if value not in (None, ""):
            console.print(f"{name}: {value}", markup=False)
    table = Table("model", "finding", "side", "report", "model says", "outcome")
    for one in compared:
        table.add_row(
            one.model, one.concept, one.laterality, one.reported, one.modelled, one.outcome
        )
    console.print(table)


@discordances.command()
@click.argument("discordance")
@config_option
@click.option(
    "--verdict",
    required=True,
    type=click.Choice([verdict.value for verdict in Verdict]),
    help="What a reviewer found.",
)
def close(discordance: str, config_file: Path, verdict: str) -> None:
    """Record a reviewer's verdict on an open discordance."""
    stores = read_stores(config_file)
    row = _find(stores, discordance)
    if not stores.discordances.close(row.id, Verdict(verdict), utc_now()):
        raise click.ClickException(f"{row.id} is not open: it is {row.state.value}")
    # The destinations hear of it with the next object of the study.
    stores.readings.make_due(row.study_instance_uid)
    click.echo(f"{row.id} closed: {verdict}")


@discordances.command("drift")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_drift(config_file: Path, as_json: bool) -> None:
    """Show for each model how often reports contradict it, lately and before.

    Exit code 1 if a model's share has risen beyond reports.drift.alarm_from_z.
    """
    config = read_config(config_file)
    if config.reports is None:
        raise click.ClickException("the configuration has no reports")
    limits = config.reports.drift
    both = limits.window_studies + limits.baseline_studies
    history = read_stores(config_file).discordances.history(both)
    found = {
        model: drift(studies, limits.window_studies, limits.baseline_studies)
        for model, studies in sorted(history.items())
    }
    alarmed = {model: one.alarms(limits.alarm_from_z) for model, one in found.items()}
    if as_json:
        content = {model: {**asdict(one), "alarm": alarmed[model]} for model, one in found.items()}
        click.echo(json.dumps(content, indent=2))
    else:
        table = Table("model", "studies", "discordant", "before", "discordant", "z", "alarm")
        for model, one in found.items():
            table.add_row(
                model,
                str(one.studies),
                _percent(one.share),
                str(one.baseline_studies),
                _percent(one.baseline_share),
                "–" if one.z is None else f"{one.z:.2f}",
                "ALARM" if alarmed[model] else "",
            )
        Console().print(table, crop=False)
    if any(alarmed.values()):
        raise SystemExit(1)


def _find(stores: Stores, beginning: str) -> DiscordanceRow:
    rows = stores.discordances.find(beginning)
    if len(rows) != 1:
        which = "no discordance" if not rows else "more than one discordance"
        raise click.ClickException(f"{which} begins with {beginning}")
    return rows[0]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
