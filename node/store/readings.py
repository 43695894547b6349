"""Studies as reports see them: by what they can be joined, and whether they are to be compared."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Engine, or_, select, update

from node.domain import ENDED, StudyState
from node.store.database import insert_if_absent, reading, studies
from node.store.report_rows import ReadingRow
from node.store.report_tables import readings

_COMPARED: Final = frozenset(ReadingRow.__dataclass_fields__)
_RESULTS_ARE_WRITTEN: Final = (*ENDED, StudyState.DELIVERING)


class Readings:
    """The studies that the node looks at for reports.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def new(self, limit: int) -> list[tuple[str, int]]:
        """Studies and their revisions whose results are written and not looked at yet."""
        statement = (
            select(studies.c.study_instance_uid, studies.c.revision)
            .outerjoin(readings, readings.c.study_instance_uid == studies.c.study_instance_uid)
            .where(
                studies.c.state.in_(_RESULTS_ARE_WRITTEN),
                studies.c.revision > 0,
                or_(readings.c.revision.is_(None), readings.c.revision < studies.c.revision),
            )
            .order_by(studies.c.last_received_at.desc())
            .limit(limit)
        )
        with self._reader.connect() as connection:
            return [(row[0], row[1]) for row in connection.execute(statement)]

    def look_at(self, row: ReadingRow) -> None:
        """Record what a revision of a study can be joined by; it is to be compared then."""
        values = {
            "revision": row.revision,
            "accession": row.accession,
            "patient": row.patient,
            "modality": row.modality,
            "body_part": row.body_part,
            "due": True,
            "tries": 0,
            "problem": "",
        }
        with self._engine.begin() as connection:
            key = {"study_instance_uid": row.study_instance_uid}
            if not insert_if_absent(connection, readings, {**key, **values}):
                connection.execute(
                    update(readings)
                    .where(readings.c.study_instance_uid == row.study_instance_uid)
                    .values(**values)
                )

    def get(self, study_instance_uid: str) -> ReadingRow | None:
        """Read one study."""
        with self._reader.connect() as connection:
            found = connection.execute(
                select(readings).where(readings.c.study_instance_uid == study_instance_uid)
            ).first()
        return None if found is None else _row(found._mapping)

    def due(self, limit: int) -> list[tuple[ReadingRow, int]]:
        """Studies that are to be compared, each with how often that was begun."""
        statement = select(readings).where(readings.c.due).limit(limit)
        with self._reader.connect() as connection:
            return [(_row(row._mapping), row.tries) for row in connection.execute(statement)]

    def problems(self) -> dict[str, str]:
        """Why the studies that could not be compared were not."""
        statement = select(readings.c.study_instance_uid, readings.c.problem)
        with self._reader.connect() as connection:
            rows = connection.execute(statement.where(readings.c.problem != ""))
            return {study: problem for study, problem in rows}

    def make_due(self, study_instance_uid: str) -> None:
        """Have a study compared again."""
        self._set(study_instance_uid, due=True, tries=0)

    def begin(self, row: ReadingRow, tries: int) -> None:
        """Count a comparison before it is made, and expect no other until something changes."""
        self._set(row.study_instance_uid, tries=tries + 1)

    def finish(self, row: ReadingRow, compared: str, problem: str = "") -> None:
        """Record that a study was compared, or why it cannot be."""
        self._set(row.study_instance_uid, compared=compared, problem=problem, due=False, tries=0)

    def _set(self, study_instance_uid: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(readings)
                .where(readings.c.study_instance_uid == study_instance_uid)
                .values(**values)
            )


def _row(values: Any) -> ReadingRow:
    return ReadingRow(**{key: values[key] for key in values if key in _COMPARED})
