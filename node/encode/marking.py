"""What every object says about itself: who made it, when, from what, and what it is not.

The same marks on every object: *Manufacturer* is the node's, the software versions hold the
node, the model and its weights, the contributing equipment says what the model is for, the
series description says that nobody has verified the result. All times are the one time of
the revision and all UIDs are derived, so that the same input gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset

from engines.types import Code
from node.domain import MANUFACTURER, ResultContext, derived_uid
from node.encode.identity import element, plain_copy
from node.encode.source import Headers
from node.encode.text import text_value
from node.errors import PermanentError
from node.terminology import ACQUISITION_EQUIPMENT, PROCESSING_EQUIPMENT

CHARACTER_SET = "ISO_IR 192"
NOT_FOR_CLINICAL_USE = "RESEARCH USE ONLY: not for clinical use"
_LONG_STRING = 64
_WITHOUT_CONTENT_DATE = {"PR", "RTSTRUCT"}
"""Modalities whose IODs have a date of their own instead."""
_SHORT_TEXT = 1024
_EQUIPMENT = (
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "StationName",
    "InstitutionName",
    "InstitutionalDepartmentName",
)


@dataclass(frozen=True)
class Series:
    """SeriesInstanceUID, SeriesNumber and SeriesDescription of one series that is written."""

    uid: str
    number: int
    description: str


def uid(context: ResultContext, *role: str) -> str:
    """Derive a UID of this run; the same inputs, model and role give the same UID."""
    made_by = context.provenance
    return derived_uid(
        context.study_instance_uid,
        context.run_key,
        f"{made_by.model}@{made_by.version}",
        made_by.weights_sha256,
        *role,
    )


def software_versions(context: ResultContext) -> list[str]:
    """Versions of the node, the model and its weights, in this order (0018,1020)."""
    made_by = context.provenance
    versions = [
        f"{MANUFACTURER} {context.node_version}",
        f"{made_by.model} {made_by.version}",
        f"sha256:{made_by.weights_sha256[:16]}",
    ]
    return [version.replace("\\", "/")[:_LONG_STRING] for version in versions]


def series_description(context: ResultContext, form: str) -> str:
    """Compose SeriesDescription (0008,103E), at most 64 characters.

    The site's prefix comes first, the word ``UNVERIFIED`` last; where both do not fit, the
    model's own words are shortened.

    Parameters
    ----------
    form
        Words for the kind of object, such as ``SEG``.
    """
    ending = f" {form} UNVERIFIED"
    words = f"{context.prefix} {context.series_description}".replace("\\", "/").strip()
    room = _LONG_STRING - len(ending)
    return (words if len(words) <= room else words[: room - 3].rstrip() + "...") + ending


def statement(context: ResultContext) -> str:
    """One paragraph about what the result is and is not."""
    made_by = context.provenance
    use = f"{NOT_FOR_CLINICAL_USE}. " if context.content_qualification == "RESEARCH" else ""
    return (
        f"{use}Made by an algorithm, UNVERIFIED by a person. "
        f"{context.title} ({made_by.model} {made_by.version}). "
        f"Intended use: {context.intended_use.strip()}"
    )


def algorithm_parameters(context: ResultContext) -> dict[str, str]:
    """What else identifies the algorithm (TID 4019, DCM 111002 *Algorithm Parameters*)."""
    made_by = context.provenance
    return {
        "weights_sha256": made_by.weights_sha256,
        "backend": made_by.backend,
        "content_qualification": context.content_qualification,
        **({"notes": "; ".join(made_by.notes)} if made_by.notes else {}),
    }


def code_item(code: Code) -> Dataset:
    """Make the item of a code sequence (PS3.3 Section 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def mark(dataset: Dataset, headers: Headers, context: ResultContext, series: Series) -> None:
    """Write patient, study, series, equipment, times and UIDs into an object.

    Parameters
    ----------
    dataset
        Changed in place. Its InstanceNumber is 1 unless it has one.
    """
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.update(headers.identity)
    dataset.SeriesInstanceUID = series.uid
    dataset.SeriesNumber = series.number
    if "InstanceNumber" not in dataset:
        dataset.InstanceNumber = 1
    dataset.add(element("SeriesDescription", series.description))
    _mark_equipment(dataset, headers, context)
    mark_times(dataset, headers.identity, context.made_at)
    dataset.ContributingEquipmentSequence = _contributions(headers, context)


def _mark_equipment(dataset: Dataset, headers: Headers, context: ResultContext) -> None:
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER
    dataset.DeviceSerialNumber = context.device_serial_number[:_LONG_STRING]
    dataset.SoftwareVersions = software_versions(context)
    institution = context.institution_name
    if institution is None:
        institution = text_value(headers.acquisition, "InstitutionName")
    if institution:
        dataset.add(element("InstitutionName", institution))


def local_time(identity: Dataset, made_at: datetime) -> datetime:
    """Shift a time to the source's TimezoneOffsetFromUTC (0008,0201), where it has one.

    That offset holds for every date and time of an object (PS3.3 Section C.12.1), also
    for those copied from the source. Without it the time stays in its own zone.
    """
    if made_at.tzinfo is None:
        raise PermanentError("ResultContext.made_at has no time zone")
    offset = text_value(identity, "TimezoneOffsetFromUTC")
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdigit():
        return made_at
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    shift = timedelta(minutes=-minutes if offset[0] == "-" else minutes)
    return made_at.astimezone(timezone(shift))


def mark_times(dataset: Dataset, identity: Dataset, made_at: datetime) -> None:
    """Write the one time of an object, in the time zone of its identity, wherever it belongs."""
    moment = local_time(identity, made_at)
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    has_content = dataset.get("Modality") not in _WITHOUT_CONTENT_DATE
    for name in ("InstanceCreation", "Series", *(["Content"] if has_content else [])):
        setattr(dataset, f"{name}Date", date)
        setattr(dataset, f"{name}Time", time)


def _contributions(headers: Headers, context: ResultContext) -> list[Dataset]:
    """Who took part (PS3.3 Section C.12.1.1.5): the scanner, and the node."""
    scanner = plain_copy(headers.acquisition, _EQUIPMENT)
    items = []
    if "Manufacturer" in scanner:
        scanner.PurposeOfReferenceCodeSequence = [code_item(ACQUISITION_EQUIPMENT)]
        scanner.ContributionDescription = "Acquisition equipment of the source images"
        items.append(scanner)
    node = Dataset()
    node.PurposeOfReferenceCodeSequence = [code_item(PROCESSING_EQUIPMENT)]
    _mark_equipment(node, headers, context)
    node.ContributionDateTime = context.made_at.strftime("%Y%m%d%H%M%S%z")
    made_by = context.provenance
    details = (
        f"{statement(context)} Backend {made_by.backend} on {made_by.device}; configuration "
        f"{context.config_digest[:16]}; study revision {context.revision}."
        + "".join(f" Note: {note}." for note in made_by.notes)
    )
    node.add(element("ContributionDescription", details[:_SHORT_TEXT]))
    return [*items, node]
