"""``wetread findings``: report text in, findings out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nlp.errors import LabelSetError, TextError
from nlp.extract import extract_findings
from nlp.intake import Intake, decode_text, read_reports
from nlp.labels import LabelSet, label_names, label_set, labels_of
from nlp.lexicon import LANGUAGES
from nlp.types import Report
from node.cli.findings_view import show


@click.command()
@click.argument("file", default="-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per report and line.")
@click.option("--label-set", "labels_name", help="Add the labels of a set, such as chest14.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Left out: found out per sentence.")
@click.option("--modality", help="DICOM Modality of the study, such as CT.")
def findings(
    file: Path, as_json: bool, labels_name: str | None, language: str | None, modality: str | None
) -> None:
    """Read reports from FILE (or "-", standard input) and show what they find.

    Plain text is one report; JSON and JSON Lines are objects {"id": ..., "text": ...} with
    optional "modality", "body_part" and "language". A report that cannot be read is named on
    standard error, and the others go on.
    """
    labels = _labels(labels_name)
    console = Console()
    failed = False
    try:
        text = decode_text(_read(file))
    except TextError as error:
        raise click.ClickException(str(error)) from error
    name = None if str(file) == "-" else file.name
    for each in read_reports(text, name=name):
        if isinstance(each, TextError):
            click.echo(f"error: {each}", err=True)
            failed = True
            continue
        report = extract_findings(
            each.text,
            modality=each.modality or modality,
            body_part=each.body_part,
            language=each.language or language,
        )
        if as_json:
            click.echo(json.dumps(_to_json(each, report, labels), ensure_ascii=False))
        else:
            show(console, each, report, labels)
    if failed:
        raise SystemExit(1)


def _labels(name: str | None) -> LabelSet | None:
    if name is None:
        return None
    try:
        return label_set(name)
    except LabelSetError as error:
        raise click.UsageError(str(error)) from error


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error


def _to_json(intake: Intake, report: Report, labels: LabelSet | None) -> dict[str, Any]:
    made = {"id": intake.id, **report.to_json()}
    if labels is not None:
        made["labels"] = labels_of(report, labels)
        for finding, row in zip(report.findings, made["findings"], strict=True):
            row["label_names"] = list(label_names(finding, labels))
    return made
