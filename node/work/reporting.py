"""The study status: accounted for, written, and left to the senders."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from pydicom.dataset import Dataset

from node import __version__
from node.config.model import Config
from node.dicom.file import read_header
from node.dicom.header import lenient
from node.domain import Artifact, Instance, ObjectForm, PlannedRun, ResultKind, Standing
from node.encode.document import Author, Reference
from node.encode.encoded import Encoded
from node.encode.status import StudyAccount, status_reference, write_status
from node.encode.status_picture import write_status_picture
from node.store.acceptance import Acceptance
from node.store.artifacts import Replaced
from node.store.delivery import DeliveryRow
from node.store.files import Files, study_folder
from node.store.index import Index, RevisionRow
from node.store.ledger import Ledger
from node.work.account import account_of
from node.work.cases import device_uid
from node.work.forms import Choice, choose, following

STATUS = "study status"
"""Stands for the model and the run in the ledger."""

_WRITERS = {ObjectForm.STATUS: write_status, ObjectForm.STATUS_SC: write_status_picture}

log = structlog.get_logger(__name__)


class StatusReports:
    """Writes what became of a revision; the same rows give the same objects.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self,
        config: Config,
        files: Files,
        index: Index,
        ledger: Ledger,
        acceptance: Acceptance,
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._files = files
        self._index = index
        self._ledger = ledger
        self._acceptance = acceptance
        self._clock = clock

    def write(self, study_instance_uid: str, revision: int) -> None:
        """Write the status of a revision in the forms of its destinations, and enter it for them.

        Raises
        ------
        PermanentError
            If no instance of the study can be read.
        """
        revisions = self._revisions(study_instance_uid, revision)
        choices = self._choices(revisions[-1])
        if not choices:
            return
        account, header = self._opened(revisions)
        artifacts = []
        for form in dict.fromkeys(choice.form for choice in choices.values()):
            remarks = {n: choice.remark for n, choice in choices.items() if choice.form is form}
            artifacts.append(self._written(account, header, revisions[-1], form, remarks))
        self._ledger.record_artifacts(artifacts, STATUS, self._clock())

    def replace(self, row: DeliveryRow, reason: str) -> bool:
        """Write the next form of the status for a destination that did not take one.

        Returns
        -------
        bool
            False if its profile has nothing to replace it by.
        """
        now = self._clock()
        made = self._ledger.replacements.written(row.sop_instance_uid)
        self._acceptance.note_refused(row.destination, row.sop_class_uid, reason, now)
        refused = self._acceptance.refused(row.destination, now)
        profile = self._config.profile(self._config.destinations[row.destination].profile)
        forms = following(profile, made.form or ObjectForm.STATUS, (), _WRITERS)
        form = next((one for one in forms if one.sop_class_uid not in refused), None)
        if form is None:
            return False
        revisions = self._revisions(row.study_instance_uid, made.revision)
        remark = Choice(form, made.form or ObjectForm.STATUS, reason).remark
        account, header = self._opened(revisions)
        written = self._written(account, header, revisions[-1], form, {row.destination: remark})
        replaced = Replaced(row.sop_instance_uid, written.sop_instance_uid, reason)
        self._ledger.replacements.record(
            [replaced], row.destination, [written], STATUS, row.revision, now
        )
        log.warning(
            "object.replaced",
            destination=row.destination,
            sop_instance_uid=row.sop_instance_uid,
            remark=remark,
        )
        return True

    def _revisions(self, study_instance_uid: str, revision: int) -> list[RevisionRow]:
        rows = self._index.revisions(study_instance_uid)
        return [row for row in rows if row.revision <= revision]

    def _opened(self, revisions: Sequence[RevisionRow]) -> tuple[StudyAccount, Dataset]:
        """Account for the last of some revisions; and a header that names its patient."""
        row = revisions[-1]
        made = self._made(row.study_instance_uid)
        steps = self._ledger.steps(row.study_instance_uid, row.revision)
        instances = self._index.study_instances(row.study_instance_uid)
        account = account_of(revisions, steps, made, instances)
        account = replace(account, predecessor=_predecessor(account, made.get(STATUS, ())))
        return account, self._header(instances)

    def _written(
        self,
        account: StudyAccount,
        header: Dataset,
        row: RevisionRow,
        form: ObjectForm,
        remarks: Mapping[str, str],
    ) -> Artifact:
        """Write one form as a file; the destinations are those of the remarks."""
        study_instance_uid, revision = account.study_instance_uid, account.revision
        dataset = _WRITERS[form](account, header, self._author(row))
        content = b"".join(Encoded(form, dataset).chunks())
        name = f"{form.lower().replace('_', '-')}-{account.instance_number}.dcm"
        path = f"{study_folder(study_instance_uid, revision)}/{name}"
        self._files.write(path, [content])
        return Artifact(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            sop_class_uid=str(dataset.SOPClassUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            study_instance_uid=study_instance_uid,
            revision=revision,
            kind=form.kind,
            model=STATUS,
            path=path,
            sha256=hashlib.sha256(content).hexdigest(),
            destinations=tuple(remarks),
            priority=_priority(row),
            form=form,
            remarks={name: remark for name, remark in remarks.items() if remark},
        )

    def _choices(self, row: RevisionRow) -> dict[str, Choice]:
        """Which form each destination gets."""
        match self._config.results.study_status:
            case "all":
                names = list(self._config.destinations)
            case "rules":
                names = [name for run in _runs(row) for name in run.destinations]
            case "none":
                names = []
        choices = {}
        for name in dict.fromkeys(names):
            if name not in self._config.destinations:
                continue
            profile = self._config.profile(self._config.destinations[name].profile)
            refused = self._acceptance.refused(name, self._clock())
            for choice in choose(profile, [ResultKind.STATUS], _WRITERS, refused):
                choices[name] = choice
        return choices

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
