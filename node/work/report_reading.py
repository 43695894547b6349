"""The text of a report → its findings, as a JSON file and rows; and back."""

from __future__ import annotations

import json
from typing import Any

from nlp.concepts import ancestors, concepts
from nlp.errors import NlpError
from nlp.extract import extract_findings
from nlp.types import Report
from node.errors import ReportError
from node.plan.agreement import Mention, ReportSays
from node.store.files import Files
from node.store.report_rows import PRIVATE, ReportRow
from node.store.reports import FindingRow, Reports

QUIET_SECTIONS = frozenset({"indication", "history", "family_history", "technique", "comparison"})
"""What stands there was asked, or was once; it is not what this report found."""


def read_report(files: Files, reports: Reports, row: ReportRow, modality: str) -> None:
    """Extract the findings of one revision, and keep them. Repeatable.

    Parameters
    ----------
    modality
        Of the report or else of its study; empty: not known.

    Raises
    ------
    ReportError
        If its text cannot be read.
    OSError, sqlalchemy.exc.SQLAlchemyError
        If disk or database fail.
    """
    found = extract(files, row, modality)
    content = json.dumps({"text_sha256": row.text_sha256, **found.to_json()}, ensure_ascii=False)
    path = f"{row.text_path.removesuffix('.txt')}-findings.json"
    files.write(path, [content.encode()], mode=PRIVATE)
    rows = [
        FindingRow(
            number=number,
            concept=one.concept,
            presence=one.presence.value,
            temporality=one.temporality.value,
            laterality="" if one.laterality is None else one.laterality.value,
            section=one.section.value,
            change="" if one.change is None else one.change.value,
            critical_category=one.critical_category,
            start=one.start,
            end=one.end,
        )
        for number, one in enumerate(found.findings)
    ]
    reports.record_findings(row, rows, language=found.language, path=path, modality=modality)


def extract(files: Files, row: ReportRow, modality: str) -> Report:
    """Extract the findings of one revision; the same text and modality give the same ones."""
    try:
        text = files.path(row.text_path).read_text(encoding="utf-8")
        return extract_findings(text, modality=modality or None)
    except (NlpError, UnicodeDecodeError) as error:
        raise ReportError(f"the text cannot be read: {type(error).__name__}") from error


def says(files: Files, row: ReportRow) -> ReportSays:
    """What one revision says, as it is held against models."""
    content: dict[str, Any] = json.loads(files.path(row.findings_path).read_bytes())
    known = concepts()
    mentions = tuple(
        Mention(
            concepts=ancestors(one["concept"]) if one["concept"] in known else frozenset(),
            concept=one["concept"],
            # What was there and is gone is not there.
            presence="absent" if one["change"] == "resolved" else one["presence"],
            counts=one["temporality"] == "recent"
            and one["experiencer"] == "patient"
            and one["section"] not in QUIET_SECTIONS,
            laterality=one["laterality"] or "",
        )
        for one in content["findings"]
    )
    return ReportSays(
        row.report_key, row.revision, mentions, frozenset(content.get("normal_sites", ()))
    )
