"""``wetread reports``: radiology reports that have come in, and by file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from node.app.stores import utc_now
from node.cli.options import config_option, read_stores
from node.errors import ReportError
from node.report.file import read_file
from node.reports import ReportState
from node.store.report_keeping import keep_documents

if TYPE_CHECKING:
    from node.app.stores import Stores
    from node.store.report_rows import ReportRow

KEY_SHOWN = 12


@click.group()
def reports() -> None:
    """Add and show radiology reports, and what was read in them."""


@reports.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@config_option
@click.option("--accession", default="", help="Accession number of its study.")
@click.option("--study", default="", help="Study Instance UID of its study.")
@click.option("--id", "identifier", default="", help="Name that all its revisions share.")
def add(file: Path, config_file: Path, accession: str, study: str, identifier: str) -> None:
    """Take in a report from a file: text, PDF, CDA, HL7 ORU^R01 or FHIR DiagnosticReport.

    A later file with the same id, accession number or study is its next revision.
    """
    stores = read_stores(config_file)
    try:
        documents = read_file(
            file.read_bytes(),
            accession_number=accession,
            study_instance_uid=study,
            identifier=identifier,
        )
    except ReportError as error:
        raise click.ClickException(str(error)) from error
    taken = keep_documents(stores.files, stores.reports, documents, utc_now())
    for one in taken:
        again = "" if one.is_new else " (it was there already)"
        click.echo(f"report {one.report_key[:KEY_SHOWN]}, revision {one.revision}{again}")


@reports.command("list")
@config_option
@click.option(
    "--state", type=click.Choice([state.value for state in ReportState]), help="Only in this state."
)
@click.option("--limit", default=50, show_default=True, help="Newest revisions shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_reports(config_file: Path, state: str | None, limit: int, as_json: bool) -> None:
    """List the reports that came last, and how far the node is with each."""
    stores = read_stores(config_file)
    rows = stores.reports.newest(None if state is None else ReportState(state), limit)
    if as_json:
        click.echo(_json([_shown(row) for row in rows]))
        return
    table = Table("report", "rev", "state", "status", "way", "from", "received", "study", "reason")
    for row in rows:
        table.add_row(
            row.report_key[:KEY_SHOWN],
            str(row.revision),
            row.state.value,
            row.status.value,
            row.way.value,
            row.sender,
            f"{row.received_at:%Y-%m-%d %H:%M:%S} UTC",
            row.study_instance_uid or "–",
            row.reason,
        )
    Console().print(table, crop=False)


@reports.command()
@click.argument("report")
@config_option
@click.option("--text", "with_text", is_flag=True, help="Print the words, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, words included.")
def show(report: str, config_file: Path, with_text: bool, as_json: bool) -> None:
    """Show a report, by the beginning of its key or by its study, and what was read in it."""
    stores = read_stores(config_file)
    rows = stores.reports.find(report)
    if not rows:
        raise click.ClickException(f"no report {report}")
    if as_json:
        click.echo(_json([{**_shown(row), **_content(stores, row)} for row in rows]))
        return
    console = Console(highlight=False, markup=False)
    for row in rows:
        where = row.study_instance_uid or "no study yet"
        console.print(
            f"report {row.report_key[:KEY_SHOWN]}, revision {row.revision}: {row.state.value}, "
            f"{row.status.value}, {where}"
        )
        if row.reason:
            console.print(f"  {row.reason}")
        table = Table("finding", "presence", "side", "section", "change", "critical", "characters")
        for one in stores.reports.findings(row):
            table.add_row(
                one.concept,
                one.presence
                if one.temporality == "recent"
                else f"{one.presence}, {one.temporality}",
                one.laterality,
                one.section,
                one.change,
                "" if one.critical_category is None else str(one.critical_category),
                f"{one.start}-{one.end}",
            )
        console.print(table)
        if with_text:
            console.print(stores.files.path(row.text_path).read_text(encoding="utf-8"))


@reports.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def quarantine(config_file: Path, as_json: bool) -> None:
    """List what is kept but not used: messages without use, and reports of another patient."""
    stores = read_stores(config_file)
    content = [
        {"message": digest, "sender": sender, "received_at": at, "reason": problem}
        for digest, sender, at, problem in stores.report_messages.quarantined()
    ] + [
        {
            "report": row.report_key[:KEY_SHOWN],
            "revision": row.revision,
            "sender": row.sender,
            "received_at": row.received_at,
            "reason": row.reason,
        }
        for row in stores.reports.newest(ReportState.QUARANTINED)
    ]
    if as_json:
        click.echo(_json(content))
    elif not content:
        click.echo("nothing is in quarantine")
    else:
        table = Table("what", "from", "received", "reason")
        for one in content:
            what = one.get("report") or f"message {str(one['message'])[:KEY_SHOWN]}"
            table.add_row(
                str(what), str(one["sender"]), str(one["received_at"])[:19], str(one["reason"])
            )
        Console().print(table, crop=False)


@reports.command()
@click.argument("report")
@config_option
def release(report: str, config_file: Path) -> None:
    """Let a report in quarantine join its study, although it names another patient."""
    stores = read_stores(config_file)
    rows = [row for row in stores.reports.find(report) if row.state is ReportState.QUARANTINED]
    if len({row.report_key for row in rows}) != 1:
        raise click.ClickException(f"not one report {report} in quarantine, but {len(rows)}")
    for row in rows:
        stores.reports.release(row.report_key, row.revision)
    click.echo(f"report {rows[0].report_key[:KEY_SHOWN]} will join its study")


def _shown(row: ReportRow) -> dict[str, Any]:
    """What of a report is shown: no digest of a person or an order."""
    hidden = ("patients", "text_path", "findings_path", "tries")
    return {name: value for name, value in asdict(row).items() if name not in hidden}


def _content(stores: Stores, row: ReportRow) -> dict[str, Any]:
    text = stores.files.path(row.text_path).read_text(encoding="utf-8")
    if not row.findings_path:
        return {"text": text}
    return {"text": text, **json.loads(stores.files.path(row.findings_path).read_bytes())}


def _json(content: object) -> str:
    return json.dumps(content, indent=2, default=str, ensure_ascii=False)
