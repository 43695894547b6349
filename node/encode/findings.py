"""What a report's text says → a structured report, finding by finding.

A Comprehensive SR in the manner of TID 2000 *Basic Diagnostic Imaging Report*: one container
for each finding, with its code, what qualifies it, and the words it was read from with their
place in the text. It is an index of somebody else's report, and says so; it is never signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from engines.types import LATERALITIES, Code
from nlp.types import Experiencer, Finding, Presence, Report, Temporality
from node.domain import derived_uid
from node.encode.document import Author, Reference, mark_document
from node.encode.identity import identity
from node.encode.items import (
    code_content,
    comprehensive_sr,
    contained,
    number_content,
    text_content,
)
from node.encode.seg_header import concept
from node.terminology import (
    ABSENT,
    ACTIONABLE_FINDINGS,
    AXES,
    CERTAINTY_OF_FINDING,
    CHANGES,
    CONCLUSION,
    FINDING,
    FINDING_SITE,
    FINDINGS,
    INDETERMINATE,
    LATERALITY,
    PRESENCE,
    PRESENT,
    SEVERITIES,
    SEVERITY,
    SOURCE_DOCUMENT,
    UNITS,
)

SERIES_NUMBER = 980
"""Added to `results.series_number_base`: behind the results of models."""

_STATEMENT = (
    "Findings extracted by software from the text of a report, UNVERIFIED by a person. The report "
    "itself holds; what is not named here may be in it. Offsets count the characters of its text."
)
_PRESENCES = {
    Presence.PRESENT: PRESENT,
    Presence.PROBABLE: PRESENT,
    Presence.POSSIBLE: INDETERMINATE,
    Presence.UNLIKELY: ABSENT,
    Presence.ABSENT: ABSENT,
}


@dataclass(frozen=True)
class ReportAccount:
    """One revision of a report and what its text says.

    Parameters
    ----------
    digest
        Of the revision: another one makes another object.
    received_at
        The one time of the object, timezone-aware.
    source
        The report itself, where it is a DICOM object of the study.
    inputs
        Instances of the study.
    predecessor
        The object of the revision before; None for the first one.
    """

    study_instance_uid: str
    report_key: str
    revision: int
    status: str
    digest: str
    received_at: datetime
    found: Report
    inputs: tuple[Reference, ...]
    source: Reference | None = None
    predecessor: Reference | None = None


def findings_uids(study_instance_uid: str, report_key: str, digest: str) -> Reference:
    """UIDs of the object of one revision of a report: one series for a study."""
    return Reference(
        sop_class_uid=str(ComprehensiveSRStorage),
        sop_instance_uid=derived_uid(study_instance_uid, "report findings", report_key, digest),
        series_instance_uid=derived_uid(study_instance_uid, "report findings"),
    )


def write_findings(account: ReportAccount, header: Dataset, author: Author) -> Dataset:
    """Encode what a report says.

    Parameters
    ----------
    header
        Of any instance of the study; patient and study are copied from it.

    Returns
    -------
    Dataset
        Comprehensive SR, UNVERIFIED, Explicit VR Little Endian. Equal arguments give equal bytes.

    Raises
    ------
    PermanentError
        If the study has no instance to refer to.
    """
    dataset = comprehensive_sr(
        account.study_instance_uid,
        findings_uids(account.study_instance_uid, account.report_key, account.digest),
        account.revision,
        FINDINGS,
        [
            *_source(account.source),
            *(contained(FINDING, _items(each)) for each in account.found.findings),
            text_content(f"Revision {account.revision} of the report: {account.status}"),
            text_content(_STATEMENT),
        ],
        account.inputs,
        account.predecessor,
        author,
    )
    mark_document(dataset, identity(header), author, account.received_at, "report findings")
    return dataset


def _source(source: Reference | None) -> list[hd.sr.ContentItem]:
    if source is None:
        return []
    return [
        hd.sr.CompositeContentItem(
            name=concept(SOURCE_DOCUMENT),
            referenced_sop_class_uid=source.sop_class_uid,
            referenced_sop_instance_uid=source.sop_instance_uid,
            relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
        )
    ]


def _items(finding: Finding) -> Iterator[hd.sr.ContentItem]:
    """What, its qualifiers, and the words."""
    words = finding.concept.replace("_", " ")
    if finding.codes:
        code = finding.codes[0]
        yield code_content(FINDING, Code(code.value, code.scheme, code.meaning))
    else:
        yield text_content(words, FINDING)
    yield from _qualifiers(finding)
    for note in _notes(finding):
        yield text_content(note)
    for evidence in finding.evidence:
        place = f"characters {evidence.start} to {evidence.end}, {evidence.section.value}"
        yield text_content(f"{evidence.text} [{place}]")


def _qualifiers(finding: Finding) -> Iterator[hd.sr.ContentItem]:
    """Whether, where, how large, since when, how urgent."""
    yield code_content(PRESENCE, _PRESENCES[finding.presence])
    yield text_content(finding.presence.value, CERTAINTY_OF_FINDING)
    if finding.laterality is not None:
        yield code_content(LATERALITY, LATERALITIES[finding.laterality.value])
    for site in finding.sites:
        yield text_content(site.replace("_", " "), FINDING_SITE)
    if finding.severity is not None:
        yield code_content(SEVERITY, SEVERITIES[finding.severity.value])
    for size in finding.sizes_mm:
        for axis, length in zip(AXES, sorted(size, reverse=True), strict=False):
            yield number_content(axis, length, UNITS["mm"])
    if finding.change is not None and finding.change.value in CHANGES:
        yield code_content(FINDING, CHANGES[finding.change.value])
    if finding.critical_category is not None:
        yield code_content(CONCLUSION, ACTIONABLE_FINDINGS[finding.critical_category])


def _notes(finding: Finding) -> Iterator[str]:
    """What has no code of its own: words of the extractor, not of the report."""
    if finding.assertion.temporality is not Temporality.RECENT:
        yield f"Temporality: {finding.assertion.temporality.value}"
    if finding.assertion.experiencer is not Experiencer.PATIENT:
        yield "Of another person than the patient"
    if finding.change is not None and finding.change.value not in CHANGES:
        yield f"Change: {finding.change.value}"
    if finding.morphology:
        yield f"Morphology: {', '.join(finding.morphology)}"
    for size in finding.prior_sizes_mm:
        yield f"Prior size: {' x '.join(f'{length:g}' for length in size)} mm"
