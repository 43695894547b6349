"""Recording instances in the index, many in one transaction.

Rows are locked in one order, studies before series before instances and each by their UIDs,
so that batches of several processes wait for each other but never in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    String,
    bindparam,
    literal_column,
    select,
    union_all,
    update,
)

from node.domain import Instance, Standing, StudyState
from node.store.database import (
    artifacts,
    insert_if_absent,
    instances,
    returned,
    series,
    studies,
)
from node.store.standing import Arrival, DuplicateUid, Known, Receipt, Verdict, Version

_STUDIES = (
    select(studies.c.study_instance_uid, studies.c.patient, studies.c.last_received_at)
    .where(studies.c.study_instance_uid.in_(bindparam("uids", expanding=True)))
    .order_by(studies.c.study_instance_uid)
    .with_for_update()
)
_NOTHING = literal_column("''", String)
# One statement: what it costs to ask is most of what an instance alone in its batch costs.
_KNOWN = union_all(
    select(
        instances.c.sop_instance_uid,
        instances.c.study_instance_uid,
        instances.c.series_instance_uid,
        instances.c.digest,
        instances.c.standing,
    ).where(instances.c.sop_instance_uid.in_(bindparam("sops", expanding=True))),
    select(
        _NOTHING, series.c.study_instance_uid, series.c.series_instance_uid, _NOTHING, _NOTHING
    ).where(series.c.series_instance_uid.in_(bindparam("its_series", expanding=True))),
    select(artifacts.c.sop_instance_uid, _NOTHING, _NOTHING, _NOTHING, _NOTHING).where(
        artifacts.c.sop_instance_uid.in_(bindparam("own", expanding=True))
    ),
)
_INSERT = instances.insert().inline()
_REOPEN = (
    update(studies)
    .where(studies.c.study_instance_uid == bindparam("study"))
    .values(
        state=StudyState.RECEIVING.value,
        reason="",
        last_received_at=bindparam("last"),
        patient=bindparam("whose"),
    )
)


def record(engine: Engine, batch: Sequence[Arrival], duplicate_uid: DuplicateUid) -> list[Verdict]:
    """Record instances in one transaction, all or none; say what each of them was.

    A study with a new instance that is used goes back to *receiving*; duplicates, and what is
    set aside or quarantined, change no study that is there.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database fails, or one row cannot be written; nothing is recorded then.
    """
    with engine.begin() as connection:
        return _Batch(connection, batch, duplicate_uid).record()


class _Batch:
    """Some arrivals and the transaction they are recorded in."""

    def __init__(
        self, connection: Connection, arrivals: Sequence[Arrival], duplicate_uid: DuplicateUid
    ) -> None:
        self._connection = connection
        self._arrivals = arrivals
        self._duplicate_uid = duplicate_uid
        self._last: dict[str, datetime] = {}

    def record(self) -> list[Verdict]:
        while True:
            known = self._known()
            there = set(known.series)
            verdicts = [known.judge(arrival, self._duplicate_uid) for arrival in self._arrivals]
            claims = {uid: known.series[uid] for uid in known.series.keys() - there}
            # Another process may have given a series away since it was looked up.
            if self._claim(claims):
                break
        rows = [
            _row(arrival.instance, verdict)
            for arrival, verdict in zip(self._arrivals, verdicts, strict=True)
            if verdict.receipt not in (Receipt.DUPLICATE, Receipt.OWN_RESULT)
        ]
        if rows:
            self._connection.execute(_INSERT, rows)
        self._reopen(verdicts, known)
        for arrival, verdict in zip(self._arrivals, verdicts, strict=True):
            if verdict.receipt is Receipt.OWN_RESULT:
                note_returned(self._connection, arrival.instance)
        return verdicts

    def _known(self) -> Known:
        taken = [one.instance for one in self._arrivals if not one.own_result]
        if not taken:
            return Known()
        # What this node has written and nobody has marked is of a study that is there.
        known = Known(patients=self._lock_studies(taken))
        sops = {one.sop_instance_uid for one in taken}
        parameters = {
            "sops": list(sops),
            "own": list(sops),
            "its_series": list({one.series_instance_uid for one in taken}),
        }
        for sop, study, its_series, digest, standing in self._connection.execute(
            _KNOWN, parameters
        ):
            if standing:
                version = Version(study, its_series, digest, Standing(standing))
                known.versions.setdefault(sop, []).append(version)
            elif sop:
                known.own_results.add(sop)
            else:
                known.series[its_series] = study
        return known

    def _lock_studies(self, taken: Sequence[Instance]) -> dict[str, str]:
        """Lock the rows of the studies, made where there are none; return their patients."""
        wanted = {one.study_instance_uid for one in taken}
        rows = self._connection.execute(_STUDIES, {"uids": list(wanted)}).all()
        if len(rows) < len(wanted):
            for uid in sorted(wanted - {row[0] for row in rows}):
                insert_if_absent(self._connection, studies, _new_study(uid, taken))
            rows = self._connection.execute(_STUDIES, {"uids": list(wanted)}).all()
        self._last = {uid: last for uid, _, last in rows}
        return {uid: patient for uid, patient, _ in rows}

    def _claim(self, claims: dict[str, str]) -> bool:
        """Give series to studies; False if one of them has been given away."""
        return all(
            insert_if_absent(
                self._connection, series, {"series_instance_uid": uid, "study_instance_uid": study}
            )
            for uid, study in sorted(claims.items())
        )

    def _reopen(self, verdicts: Sequence[Verdict], known: Known) -> None:
        last: dict[str, datetime] = {}
        for arrival, verdict in zip(self._arrivals, verdicts, strict=True):
            if verdict.counts:
                uid, at = arrival.instance.study_instance_uid, arrival.instance.received_at
                # Associations commit out of order; the quiet period starts at the last one.
                last[uid] = max(last.get(uid, self._last[uid]), at)
        if last:
            self._connection.execute(
                _REOPEN,
                [
                    {"study": uid, "last": at, "whose": known.patients[uid]}
                    for uid, at in sorted(last.items())
                ],
            )


def note_returned(connection: Connection, instance: Instance) -> None:
    """Record that one of the node's own results came back; it is not an input."""
    values = {
        "sop_instance_uid": instance.sop_instance_uid,
        "study_instance_uid": instance.study_instance_uid,
        "calling_ae_title": instance.calling_ae_title,
        "times": 1,
        "last_at": instance.received_at,
    }
    if not insert_if_absent(connection, returned, values):
        connection.execute(
            update(returned)
            .where(returned.c.sop_instance_uid == instance.sop_instance_uid)
            .values(times=returned.c.times + 1, last_at=instance.received_at)
        )


def _new_study(uid: str, taken: Sequence[Instance]) -> dict[str, Any]:
    times = [one.received_at for one in taken if one.study_instance_uid == uid]
    return {
        "study_instance_uid": uid,
        "state": StudyState.RECEIVING.value,
        "revision": 0,
        "first_received_at": min(times),
        # What is used moves it on.
        "last_received_at": min(times),
        "reason": "",
        "patient": "",
    }


def _row(instance: Instance, verdict: Verdict) -> dict[str, Any]:
    return {
        **vars(instance),
        "standing": verdict.standing.value,
        "standing_reason": verdict.reason,
    }
