"""What was done with a study → one structured report, so that silence never means negative.

An Enhanced SR with the standard's words for the work of algorithms: *Summary of Analyses*
(DCM 111065) answered from *Status of Results* (CID 6042). It is no measurement report on
purpose: viewers take the groups of TID 1500 for something to draw, and fail on those that
have no coordinates. It says nothing of what was found; the objects it refers to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import highdicom as hd
from pydicom.dataset import Dataset

from engines.types import Code
from node.domain import MANUFACTURER, ObjectForm, derived_uid
from node.encode.document import (
    Author,
    Reference,
    as_evidence,
    device_observer,
    language,
    mark_document,
)
from node.encode.identity import identity
from node.encode.seg_header import concept
from node.errors import PermanentError
from node.terminology import (
    ALGORITHM_NAME,
    ALGORITHM_VERSION,
    ANALYSIS_PERFORMED,
    COMMENT,
    RESULT_STATUS,
    SUMMARY_OF_ANALYSES,
)

_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS
STATEMENT = (
    "This object says what was done with the study by software, not what was found. Results are "
    "in the objects it refers to, UNVERIFIED by a person. What is not named here was not looked "
    "for, and nothing reported does not mean that nothing is there."
)


class RunState(StrEnum):
    """How one model on one case stands."""

    SUCCEEDED = "succeeded"
    NOT_ELIGIBLE = "not eligible"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True)
class RunAccount:
    """What became of one model on one case.

    Parameters
    ----------
    series_instance_uid
        Of its input.
    reason
        Why it is not *succeeded*, or what was done otherwise than asked; may be empty.
    objects
        What it has written, also in an earlier revision whose results hold.
    """

    model: str
    model_version: str
    series_instance_uid: str
    state: RunState
    reason: str = ""
    objects: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class StudyAccount:
    """What was done with one revision of a study.

    Parameters
    ----------
    not_run
        One sentence for each rule, series or model that was left out.
    inputs
        Every instance of the study that was looked at.
    complete_at
        When the revision was complete; the one time of the object. Timezone-aware.
    predecessor
        The status object before this one; None for the first one.
    """

    study_instance_uid: str
    revision: int
    complete_at: datetime
    complete_reason: str
    runs: tuple[RunAccount, ...]
    not_run: tuple[str, ...]
    inputs: tuple[Reference, ...]
    predecessor: Reference | None = None

    @property
    def final(self) -> bool:
        """Whether nothing is pending."""
        return all(run.state is not RunState.PENDING for run in self.runs)

    @property
    def instance_number(self) -> int:
        """InstanceNumber in the study's series: a revision's announcement comes before its end."""
        return 2 * self.revision - (not self.final)

    @property
    def summary(self) -> Code:
        """The whole in one word of CID 6042."""
        states = {run.state for run in self.runs}
        if not self.final or states <= {RunState.NOT_ELIGIBLE}:
            return RESULT_STATUS["not attempted"]
        if RunState.SUCCEEDED not in states:
            return RESULT_STATUS["failed"]
        return RESULT_STATUS["partially succeeded" if RunState.FAILED in states else "succeeded"]


def status_reference(
    study_instance_uid: str,
    revision: int,
    *,
    final: bool,
    form: ObjectForm = ObjectForm.STATUS,
) -> Reference:
    """UIDs of the status object of a revision: one series of each form for the study.

    Parameters
    ----------
    final
        False: the object that announces the revision, with everything pending.
    """
    stage = "final" if final else "announced"
    role = (
        (study_instance_uid, "status")
        if form is ObjectForm.STATUS
        else (study_instance_uid, "status", form.value)
    )
    return Reference(
        sop_class_uid=str(form.sop_class_uid),
        sop_instance_uid=derived_uid(*role, f"r{revision}", stage),
        series_instance_uid=derived_uid(*role),
    )


def check_inputs(account: StudyAccount) -> None:
    """Check that there is something an object could be about.

    Raises
    ------
    PermanentError
        If there is not.
    """
    if not account.inputs:
        raise PermanentError("the study has no instances that a status object could refer to")


def write_status(account: StudyAccount, header: Dataset, author: Author) -> Dataset:
    """Encode the account of a revision.

    Parameters
    ----------
    header
        Of any instance of the study; patient and study are copied from it.

    Returns
    -------
    Dataset
        Enhanced SR, UNVERIFIED, Explicit VR Little Endian. Equal arguments give equal bytes.

    Raises
    ------
    PermanentError
        If the study has no instance to refer to.
    """
    check_inputs(account)
    uids = status_reference(account.study_instance_uid, account.revision, final=account.final)
    made = [one for run in account.runs for one in run.objects]
    dataset: Dataset = hd.sr.EnhancedSR(
        evidence=as_evidence(account.study_instance_uid, [*account.inputs, *made]),
        content=_root(account, author),
        series_instance_uid=uids.series_instance_uid,
        series_number=author.series_number,
        sop_instance_uid=uids.sop_instance_uid,
        instance_number=account.instance_number,
        manufacturer=MANUFACTURER,
        is_complete=account.final,
        previous_versions=None
        if account.predecessor is None
        else as_evidence(account.study_instance_uid, [account.predecessor]),
    )
    mark_document(dataset, identity(header), author, account.complete_at, "study status")
    return dataset


def _root(account: StudyAccount, author: Author) -> hd.sr.ContainerContentItem:
    root = hd.sr.ContainerContentItem(name=concept(SUMMARY_OF_ANALYSES))
    root.ContentSequence = hd.sr.ContentSequence(
        [
            *language(),
            *device_observer(author.device_uid, author.device_serial_number),
            _code(SUMMARY_OF_ANALYSES, account.summary),
            _text(f"Study revision {account.revision}: {account.complete_reason}"),
            *(_run(run) for run in account.runs),
            *_left_out(account.not_run),
            _text(STATEMENT),
        ]
    )
    return root


def _run(run: RunAccount) -> hd.sr.ContainerContentItem:
    """One model on one case: which, how it stands, why, and what it has written."""
    group = hd.sr.ContainerContentItem(
        name=concept(ANALYSIS_PERFORMED), relationship_type=_CONTAINS
    )
    words = f"{run.state.value}: {run.reason}" if run.reason else run.state.value
    group.ContentSequence = hd.sr.ContentSequence(
        [
            _text(run.model, ALGORITHM_NAME),
            _text(run.model_version, ALGORITHM_VERSION),
            _code(SUMMARY_OF_ANALYSES, RESULT_STATUS[_STATUS_OF_RESULTS[run.state]]),
            _text(f"{words}; input: series {run.series_instance_uid}"),
            *(
                hd.sr.CompositeContentItem(
                    name=concept(SUMMARY_OF_ANALYSES),
                    referenced_sop_class_uid=one.sop_class_uid,
                    referenced_sop_instance_uid=one.sop_instance_uid,
                    relationship_type=_CONTAINS,
                )
                for one in run.objects
            ),
        ]
    )
    return group


_STATUS_OF_RESULTS = {
    RunState.SUCCEEDED: "succeeded",
    RunState.NOT_ELIGIBLE: "not attempted",
    RunState.FAILED: "failed",
    RunState.PENDING: "not attempted",
}


def _left_out(sentences: Sequence[str]) -> list[hd.sr.ContainerContentItem]:
    """What no model was run on, and why; nothing where everything was read."""
    if not sentences:
        return []
    group = hd.sr.ContainerContentItem(
        name=concept(RESULT_STATUS["not attempted"]), relationship_type=_CONTAINS
    )
    group.ContentSequence = hd.sr.ContentSequence([_text(sentence) for sentence in sentences])
    return [group]


def _container(name: Code) -> hd.sr.ContainerContentItem:
    return hd.sr.ContainerContentItem(name=concept(name), relationship_type=_CONTAINS)


def _text(value: str, name: Code = COMMENT) -> hd.sr.TextContentItem:
    return hd.sr.TextContentItem(name=concept(name), value=value, relationship_type=_CONTAINS)


def _code(name: Code, value: Code) -> hd.sr.CodeContentItem:
    return hd.sr.CodeContentItem(
        name=concept(name), value=concept(value), relationship_type=_CONTAINS
    )
