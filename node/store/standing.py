"""Whether an instance that has arrived is new, known, or contradicts what is there. Pure.

Identity is Study, Series and SOP Instance UID together, and the digest of the bytes. What
contradicts the index is kept, too, but not used:

====================================================  =========================================
found                                                 becomes
====================================================  =========================================
the same UIDs, the same bytes                         a duplicate: nothing changes
a series that another study has                       quarantined
a SOP Instance UID that another study has             quarantined: two studies claim one image
another patient than the study's                      quarantined
the same UIDs, other bytes                            a version; `receive.duplicate_uid` decides
a SOP Instance UID in another series of its study     a new instance: series are read one by one
====================================================  =========================================

Only what is used makes a claim: an instance in quarantine gives its study neither a patient
nor a series, and a version of it is judged as if it were the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

from node.domain import Instance, Standing

DuplicateUid: TypeAlias = Literal["last", "first", "quarantine"]
"""What counts when other bytes come under the same UIDs (`receive.duplicate_uid`)."""


class Receipt(StrEnum):
    """What became of an instance at the index."""

    NEW = "new"
    NEW_VERSION = "new version"
    """The same SOP Instance UID was there with other bytes; both are kept."""
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    """Kept, but not used: it contradicts what is there."""
    OWN_RESULT = "own result"
    """Written by this node: noted as returned, no input."""


@dataclass(frozen=True)
class Arrival:
    """An instance that asks to be recorded.

    Parameters
    ----------
    patient
        SHA-256 of the patient's identity, hex; "" where the header names nobody.
    own_result
        Its header says that a Wetread node has written it.
    """

    instance: Instance
    patient: str = ""
    own_result: bool = False


class Verdict(NamedTuple):
    """What an arrival is; `reason` is a sentence without patient data, "" where it is used."""

    receipt: Receipt
    standing: Standing = Standing.USED
    reason: str = ""

    @property
    def counts(self) -> bool:
        """Whether its study has a new input by it."""
        return self.receipt in (Receipt.NEW, Receipt.NEW_VERSION) and self.standing is Standing.USED


class Version(NamedTuple):
    """An instance that the index has."""

    study_instance_uid: str
    series_instance_uid: str
    digest: str
    standing: Standing


@dataclass
class Known:
    """What the index knows that bears on some arrivals; each judgement adds to it.

    Parameters
    ----------
    own_results
        SOP Instance UIDs that this node has written.
    patients
        Patient of each study, "" where no instance has named one.
    series
        Study of each series.
    versions
        By SOP Instance UID.
    """

    own_results: set[str] = field(default_factory=set)
    patients: dict[str, str] = field(default_factory=dict)
    series: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[Version]] = field(default_factory=dict)

    def is_own(self, arrival: Arrival) -> bool:
        """Whether a Wetread node has written it."""
        return arrival.own_result or arrival.instance.sop_instance_uid in self.own_results

    def judge(self, arrival: Arrival, duplicate_uid: DuplicateUid) -> Verdict:
        """Say what an arrival is, and know it from now on."""
        if self.is_own(arrival):
            return Verdict(Receipt.OWN_RESULT)
        instance = arrival.instance
        versions = self.versions.setdefault(instance.sop_instance_uid, [])
        same = [
            version
            for version in versions
            if version.series_instance_uid == instance.series_instance_uid
            and version.study_instance_uid == instance.study_instance_uid
        ]
        if any(version.digest == instance.digest for version in same):
            return Verdict(Receipt.DUPLICATE)
        if contradiction := self._contradiction(arrival, versions):
            verdict = Verdict(Receipt.QUARANTINED, Standing.QUARANTINED, contradiction)
        else:
            verdict = _of_version(same, duplicate_uid)
        versions.append(
            Version(
                instance.study_instance_uid,
                instance.series_instance_uid,
                instance.digest,
                verdict.standing,
            )
        )
        if verdict.counts:
            self.series.setdefault(instance.series_instance_uid, instance.study_instance_uid)
            if not self.patients.get(instance.study_instance_uid):
                self.patients[instance.study_instance_uid] = arrival.patient
        return verdict

    def _contradiction(self, arrival: Arrival, versions: Sequence[Version]) -> str:
        instance = arrival.instance
        study = instance.study_instance_uid
        owner = self.series.get(instance.series_instance_uid, study)
        if owner != study:
            return f"series {instance.series_instance_uid} is already in study {owner}"
        for version in versions:
            if version.study_instance_uid != study and version.standing != Standing.QUARANTINED:
                return (
                    f"SOP Instance UID {instance.sop_instance_uid} is already in study "
                    f"{version.study_instance_uid}"
                )
        patient = self.patients.get(study, "")
        if arrival.patient and patient and arrival.patient != patient:
            return "PatientID or its issuer is not that of the study's earlier instances"
        return ""


def _of_version(same: Sequence[Version], duplicate_uid: DuplicateUid) -> Verdict:
    """Judge an instance whose UIDs may be there with other bytes."""
    if not same:
        return Verdict(Receipt.NEW)
    if duplicate_uid == "last" or not any(v.standing == Standing.USED for v in same):
        return Verdict(Receipt.NEW_VERSION)
    if duplicate_uid == "first":
        return Verdict(
            Receipt.NEW_VERSION,
            Standing.SET_ASIDE,
            "the version that came first counts (receive.duplicate_uid: first)",
        )
    return Verdict(
        Receipt.QUARANTINED,
        Standing.QUARANTINED,
        "other bytes than the version that counts (receive.duplicate_uid: quarantine)",
    )
