"""Reports in the index: their revisions, and the studies they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, and_, delete, func, or_, select, update

from node.reports import ReportDocument, ReportState
from node.store.database import reading
from node.store.report_arrivals import TakenIn, make_due, row_key, take_in
from node.store.report_rows import ReportRow, report_row
from node.store.report_tables import accessions, findings, readings, reports

NOT_YET_READ: Final = (ReportState.RECEIVED,)


@dataclass(frozen=True)
class FindingRow:
    """One finding of a report: what, and where in its text; not the words themselves."""

    number: int
    concept: str
    presence: str
    temporality: str
    laterality: str
    section: str
    change: str
    critical_category: int | None
    start: int
    end: int


class Reports:
    """The reports that have come in.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def take_in(
        self, taken: Sequence[tuple[ReportDocument, str, str]], now: datetime
    ) -> list[TakenIn]:
        """Record documents whose text is durable, all or none.

        The newest revision of a report counts: by the time its author gives it, else by arrival.

        Parameters
        ----------
        taken
            Document, path of its text relative to the data directory, SHA-256 of the text.
        """
        with self._engine.begin() as connection:
            return [take_in(connection, *each, now) for each in taken]

    def find(self, key_or_study: str) -> list[ReportRow]:
        """Revisions by a report's key (or its beginning, 8 characters or more), or by a study."""
        where = or_(
            reports.c.study_instance_uid == key_or_study, reports.c.named_study == key_or_study
        )
        if len(key_or_study) >= 8 and key_or_study.isalnum():
            where = or_(where, reports.c.report_key.startswith(key_or_study, autoescape=True))
        return self._rows(where, order=(reports.c.received_at, reports.c.revision))

    def get(self, key: str, revision: int) -> ReportRow | None:
        """Read one revision."""
        rows = self._rows(reports.c.report_key == key, reports.c.revision == revision)
        return rows[0] if rows else None

    def newest(self, state: ReportState | None = None, limit: int = 50) -> list[ReportRow]:
        """The revisions received last, newest first; in one state if one is named."""
        where = [] if state is None else [reports.c.state == state]
        return self._rows(*where, order=(reports.c.received_at.desc(),), limit=limit)

    def of_study(self, study_instance_uid: str) -> list[ReportRow]:
        """What counts of a study, in the order in which it was written."""
        rows = self._rows(
            reports.c.study_instance_uid == study_instance_uid,
            reports.c.current,
            reports.c.state == ReportState.JOINED,
        )
        return sorted(rows, key=lambda row: (row.reported_at or row.received_at, row.report_key))

    def to_read(self, limit: int) -> list[ReportRow]:
        """What counts and is not read yet, oldest first."""
        return self._rows(
            reports.c.state.in_(NOT_YET_READ),
            reports.c.current,
            order=(reports.c.received_at,),
            limit=limit,
        )

    def has_source(self, source_uid: str) -> bool:
        """Whether a DICOM document has been taken in."""
        with self._reader.connect() as connection:
            found = connection.scalar(
                select(func.count()).where(reports.c.source_uid == source_uid)
            )
        return bool(found)

    def begin(self, row: ReportRow) -> int:
        """Count a try before it is made; return how many there were with it."""
        tries = row.tries + 1
        self._set(row, tries=tries)
        return tries

    def record_findings(
        self,
        row: ReportRow,
        found: Sequence[FindingRow],
        *,
        language: str,
        path: str,
        modality: str,
    ) -> None:
        """Record what a report says; a repeat replaces it. It waits for its study then."""
        key = (
            findings.c.report_key == row.report_key,
            findings.c.revision == row.revision,
        )
        with self._engine.begin() as connection:
            connection.execute(delete(findings).where(*key))
            if found:
                connection.execute(
                    findings.insert(),
                    [
                        {"report_key": row.report_key, "revision": row.revision, **vars(each)}
                        for each in found
                    ],
                )
            connection.execute(
                update(reports)
                .where(*row_key(row))
                .values(findings_path=path, language=language, modality=modality, tries=0)
            )
            # One that was superseded meanwhile stays so.
            connection.execute(
                update(reports)
                .where(*row_key(row), reports.c.state == ReportState.RECEIVED)
                .values(state=ReportState.WAITING, reason="")
            )

    def findings(self, row: ReportRow) -> list[FindingRow]:
        """What one revision says, in order of its text."""
        statement = (
            select(findings)
            .where(findings.c.report_key == row.report_key, findings.c.revision == row.revision)
            .order_by(findings.c.number)
        )
        with self._reader.connect() as connection:
            return [
                FindingRow(**{k: v for k, v in found._mapping.items() if k in _FINDING})
                for found in connection.execute(statement)
            ]

    def matches(self, limit: int) -> list[tuple[ReportRow, list[str]]]:
        """Reports that wait for a study, each with the studies that have come.

        By the Study Instance UID it names where that one has come, else by accession number.
        """
        waits = and_(reports.c.state == ReportState.WAITING, reports.c.current)
        named = (
            select(reports.c.report_key, reports.c.revision, readings.c.study_instance_uid)
            .join(readings, readings.c.study_instance_uid == reports.c.named_study)
            .where(waits)
        )
        numbered = (
            select(reports.c.report_key, reports.c.revision, readings.c.study_instance_uid)
            .join(
                accessions,
                and_(
                    accessions.c.report_key == reports.c.report_key,
                    accessions.c.revision == reports.c.revision,
                ),
            )
            .join(readings, readings.c.accession == accessions.c.accession)
            .where(waits, reports.c.reason == "")
        )
        found: dict[tuple[str, int], dict[str, None]] = {}
        with self._reader.connect() as connection:
            for statement in (named, numbered):
                others = dict(found)
                for key, revision, study in connection.execute(statement.limit(limit)):
                    if (key, revision) not in others:
                        found.setdefault((key, revision), {})[study] = None
        rows = ((self.get(*key), list(studies)) for key, studies in found.items())
        return [(row, studies) for row, studies in rows if row is not None]

    def join(self, row: ReportRow, study_instance_uid: str) -> None:
        """Make a report part of a study, which is compared again then."""
        with self._engine.begin() as connection:
            connection.execute(
                update(reports)
                .where(*row_key(row), reports.c.state == ReportState.WAITING)
                .values(
                    state=ReportState.JOINED,
                    reason="",
                    study_instance_uid=study_instance_uid,
                    tries=0,
                )
            )
            make_due(connection, study_instance_uid)

    def set_state(self, row: ReportRow, state: ReportState, reason: str) -> None:
        """Say how far the node is with a revision, and why no further."""
        self._set(row, state=state, reason=reason)

    def explain(self, row: ReportRow, reason: str) -> None:
        """Say why a report still waits."""
        self._set(row, reason=reason)

    def release(self, key: str, revision: int) -> bool:
        """Let a quarantined report join the study it names, whoever its patient is."""
        with self._engine.begin() as connection:
            released = connection.execute(
                update(reports)
                .where(
                    reports.c.report_key == key,
                    reports.c.revision == revision,
                    reports.c.state == ReportState.QUARANTINED,
                )
                .values(state=ReportState.WAITING, released=True, reason="", tries=0)
            )
        return released.rowcount == 1

    def counts_by_state(self) -> dict[str, int]:
        """How many revisions there are in each state."""
        with self._reader.connect() as connection:
            rows = connection.execute(
                select(reports.c.state, func.count()).group_by(reports.c.state)
            ).all()
        return {state: count for state, count in rows}

    def _set(self, row: ReportRow, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(reports).where(*row_key(row)).values(**values))

    def _rows(
        self, *where: Any, order: Sequence[Any] = (), limit: int | None = None
    ) -> list[ReportRow]:
        statement = select(reports).where(*where).order_by(*order).limit(limit)
        with self._reader.connect() as connection:
            return [report_row(row) for row in connection.execute(statement)]


_FINDING: Final = frozenset(FindingRow.__dataclass_fields__)
