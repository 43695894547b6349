"""The study status: accounted for, written, and left to the senders."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from pydicom.dataset import Dataset

from node import __version__
from node.config.model import Config
from node.dicom.file import read_header
from node.dicom.header import lenient
from node.domain import Artifact, Instance, ObjectForm, PlannedRun, ResultKind, Standing
from node.encode.document import Author, Reference
from node.encode.encoded import Encoded
from node.encode.status import StudyAccount, status_reference, write_status
from node.store.files import Files, study_folder
from node.store.index import Index, RevisionRow
from node.store.ledger import Ledger
from node.work.account import account_of
from node.work.cases import device_uid

STATUS = "study status"
"""Stands for the model and the run in the ledger."""


class StatusReports:
    """Writes what became of a revision; the same rows give the same object.

    Parameters
    ----------
    takes
        Whether a destination, by name, is sent a kind of object.
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self,
        config: Config,
        files: Files,
        index: Index,
        ledger: Ledger,
        takes: Callable[[str, ResultKind], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._files = files
        self._index = index
        self._ledger = ledger
        self._takes = takes
        self._clock = clock

    def write(self, study_instance_uid: str, revision: int) -> None:
        """Write the status object of a revision, and enter it for its destinations.

        Raises
        ------
        PermanentError
            If no instance of the study can be read.
        """
        revisions = [
            row for row in self._index.revisions(study_instance_uid) if row.revision <= revision
        ]
        destinations = self._destinations(revisions[-1])
        if not destinations:
            return
        instances = self._index.study_instances(study_instance_uid)
        made = self._made(study_instance_uid)
        steps = self._ledger.steps(study_instance_uid, revision)
        account = account_of(revisions, steps, made, instances)
        account = replace(account, predecessor=_predecessor(account, made.get(STATUS, ())))
        dataset = write_status(account, self._header(instances), self._author(revisions[-1]))
        self._keep(dataset, study_instance_uid, revision, destinations, _priority(revisions[-1]))

    def _keep(
        self,
        dataset: Dataset,
        study_instance_uid: str,
        revision: int,
        destinations: Sequence[str],
        priority: int,
    ) -> None:
        encoded = Encoded(ObjectForm.STATUS, dataset)
        content = b"".join(encoded.chunks())
        path = f"{study_folder(study_instance_uid, revision)}/status-{dataset.InstanceNumber}.dcm"
        self._files.write(path, [content])
        artifact = Artifact(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            sop_class_uid=str(dataset.SOPClassUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            study_instance_uid=study_instance_uid,
            revision=revision,
            kind=encoded.kind,
            model=STATUS,
            path=path,
            sha256=hashlib.sha256(content).hexdigest(),
            destinations=tuple(destinations),
            priority=priority,
        )
        self._ledger.record_artifacts([artifact], STATUS, self._clock())

    def _destinations(self, row: RevisionRow) -> list[str]:
        match self._config.results.study_status:
            case "all":
                names = list(self._config.destinations)
            case "rules":
                names = [name for run in _runs(row) for name in run.destinations]
            case "none":
                names = []
        known = [name for name in dict.fromkeys(names) if name in self._config.destinations]
        return [name for name in known if self._takes(name, ResultKind.STATUS)]

    def _made(self, study_instance_uid: str) -> dict[str, list[Reference]]:
        made = defaultdict(list)
        for row in self._ledger.made(study_instance_uid):
            made[row.run_key].append(
                Reference(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid)
            )
        return dict(made)

    def _header(self, instances: Sequence[Instance]) -> Dataset:
        used = [one for one in instances if one.standing is Standing.USED] or list(instances)
        first = min(used, key=lambda one: one.sop_instance_uid)
        with lenient():
            return read_header(self._files.instance(first.digest))

    def _author(self, row: RevisionRow) -> Author:
        results = self._config.results
        return Author(
            prefix=results.prefix,
            series_number=results.series_number_base - 1,
            node_version=__version__,
            config_digest="" if row.plan is None else row.plan.config_digest,
            institution_name=results.institution_name,
            device_serial_number=results.device_serial_number,
            device_uid=device_uid(self._config),
        )


def _runs(row: RevisionRow) -> tuple[PlannedRun, ...]:
    return () if row.plan is None else row.plan.runs


def _priority(row: RevisionRow) -> int:
    return max((run.priority for run in _runs(row)), default=0)


def _predecessor(account: StudyAccount, written: Collection[Reference]) -> Reference | None:
    """Find the last status object before that of an account."""
    earlier = [(number, final) for number in range(1, account.revision) for final in (False, True)]
    if account.final:
        earlier.append((account.revision, False))
    references = [
        status_reference(account.study_instance_uid, number, final=final)
        for number, final in reversed(earlier)
    ]
    return next((one for one in references if one in written), None)
