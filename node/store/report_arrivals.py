"""A document becomes a revision of a report, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select, update

from node.reports import ReportDocument, ReportState, ReportStatus
from node.store.database import insert_if_absent
from node.store.report_rows import (
    ReportRow,
    accession_digest,
    patient_digests,
    report_key,
    report_row,
)
from node.store.report_tables import accessions, readings, reports


@dataclass(frozen=True)
class TakenIn:
    """What a document is to the index.

    Parameters
    ----------
    is_new
        False where the same words came before, from the same sender, with the same status.
    """

    report_key: str
    revision: int
    is_new: bool


def take_in(
    connection: Connection,
    document: ReportDocument,
    path: str,
    text_sha256: str,
    now: datetime,
) -> TakenIn:
    """Record one document whose text is durable; see `node.store.reports.Reports.take_in`."""
    key = _key_of_predecessor(connection, document) or report_key(document)
    rows = [
        report_row(row)
        for row in connection.execute(
            select(reports)
            .where(reports.c.report_key == key)
            .order_by(reports.c.revision)
            .with_for_update()
        )
    ]
    for row in rows:
        # An earlier one that comes again is a repeat, too, unless something else came between.
        if row.current and row.text_sha256 == text_sha256 and row.status is document.status:
            return TakenIn(key, row.revision, is_new=False)
    revision = 1 + max((row.revision for row in rows), default=0)
    is_current = not any(_is_later(row, document) for row in rows if row.current)
    withdrawn = document.status is ReportStatus.WITHDRAWN
    state = ReportState.WITHDRAWN if withdrawn else ReportState.RECEIVED
    if is_current:
        for row in (row for row in rows if row.current):
            connection.execute(
                update(reports)
                .where(*row_key(row))
                .values(
                    current=False,
                    state=ReportState.SUPERSEDED,
                    reason=f"revision {revision} counts",
                )
            )
            if row.study_instance_uid:
                make_due(connection, row.study_instance_uid)
    inserted = insert_if_absent(
        connection,
        reports,
        {
            "report_key": key,
            "revision": revision,
            "way": document.way,
            "sender": document.sender[:200],
            "status": document.status,
            "state": state if is_current else ReportState.SUPERSEDED,
            "reason": "" if is_current else "a later revision came before it",
            "current": is_current,
            "released": False,
            "named_study": document.study_instance_uid,
            "study_instance_uid": "",
            "patients": " ".join(patient_digests(document)),
            "modality": document.modality,
            "source_uid": document.source_uid,
            "predecessor_uid": document.predecessor_uid,
            "text_path": path,
            "text_sha256": text_sha256,
            "reported_at": document.reported_at,
            "received_at": now,
            "findings_path": "",
            "language": "",
            "tries": 0,
        },
    )
    if not inserted:
        raise RuntimeError("another process has recorded the same revision")
    for number in filter(None, dict.fromkeys(map(accession_digest, document.accession_numbers))):
        connection.execute(
            accessions.insert().values(report_key=key, revision=revision, accession=number)
        )
    return TakenIn(key, revision, is_new=True)


def _key_of_predecessor(connection: Connection, document: ReportDocument) -> str | None:
    """Key of the report that a DICOM document is a revision of, before or after another one."""
    if not document.source_uid:
        return None
    own = document.source_uid
    where = [reports.c.source_uid == own, reports.c.predecessor_uid == own]
    if document.predecessor_uid:
        where.append(reports.c.source_uid == document.predecessor_uid)
    key: str | None = connection.scalar(select(reports.c.report_key).where(or_(*where)).limit(1))
    return key


def _is_later(row: ReportRow, document: ReportDocument) -> bool:
    """Whether a revision that is there was written after a document that comes now."""
    if document.source_uid and row.predecessor_uid == document.source_uid:
        return True
    if row.reported_at is None or document.reported_at is None:
        return False
    return row.reported_at > document.reported_at


def row_key(row: ReportRow) -> tuple[Any, Any]:
    """Where clauses that find one revision."""
    return reports.c.report_key == row.report_key, reports.c.revision == row.revision


def make_due(connection: Connection, study_instance_uid: str) -> None:
    """Have a study compared again."""
    connection.execute(
        update(readings)
        .where(readings.c.study_instance_uid == study_instance_uid)
        .values(due=True, tries=0)
    )
