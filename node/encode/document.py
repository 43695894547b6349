"""Documents of which the node itself is the author: no model has made them.

What they have in common with the objects of results is in `node.encode.marking`; what is
missing here is all that says which model has made a result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
from pydicom.dataset import Dataset

from node.domain import MANUFACTURER
from node.encode.identity import TYPE_2, element
from node.encode.marking import CHARACTER_SET, code_item, mark_times
from node.encode.seg_header import concept
from node.terminology import ENGLISH, PROCESSING_EQUIPMENT

_LONG_STRING = 64


@dataclass(frozen=True)
class Author:
    """The installation that writes a document, as the document names it.

    Parameters
    ----------
    prefix
        The site's first word of every SeriesDescription.
    series_number
        Of the document's series.
    node_version, config_digest
        Software version of the node and digest of its configuration.
    institution_name
        Of the node's equipment, or None.
    device_uid
        UID of this installation, for the device observer (TID 1004).
    """

    prefix: str
    series_number: int
    node_version: str
    config_digest: str
    institution_name: str | None
    device_serial_number: str
    device_uid: str


@dataclass(frozen=True)
class Reference:
    """One instance of the study that a document refers to."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


def as_evidence(study_instance_uid: str, references: Iterable[Reference]) -> list[Dataset]:
    """Make what highdicom takes for evidence: data sets with UIDs, of a patient without a name.

    Each reference once, in the order given.
    """
    evidence = []
    for one in dict.fromkeys(references):
        dataset = Dataset()
        for keyword in TYPE_2:
            setattr(dataset, keyword, "")
        dataset.StudyInstanceUID = study_instance_uid
        dataset.SeriesInstanceUID = one.series_instance_uid
        dataset.SOPClassUID = one.sop_class_uid
        dataset.SOPInstanceUID = one.sop_instance_uid
        evidence.append(dataset)
    return evidence


def mark_document(
    dataset: Dataset, identity: Dataset, author: Author, made_at: datetime, description: str
) -> None:
    """Write patient, study, equipment and times into a document of the node's own.

    Parameters
    ----------
    dataset
        Changed in place.
    identity
        From `node.encode.identity.identity`.
    made_at
        The one time of the document, timezone-aware.
    description
        Of the series, without the site's prefix.
    """
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.update(identity)
    words = f"{author.prefix} {description} UNVERIFIED".replace("\\", "/")
    dataset.add(element("SeriesDescription", words[:_LONG_STRING]))
    _mark_equipment(dataset, author)
    mark_times(dataset, identity, made_at)
    node = Dataset()
    node.PurposeOfReferenceCodeSequence = [code_item(PROCESSING_EQUIPMENT)]
    _mark_equipment(node, author)
    node.ContributionDateTime = made_at.strftime("%Y%m%d%H%M%S%z")
    node.add(
        element(
            "ContributionDescription", f"Configuration {author.config_digest[:16] or 'unknown'}"
        )
    )
    dataset.ContributingEquipmentSequence = [node]


def device_observer(device_uid: str, serial_number: str) -> hd.sr.ObserverContext:
    """Device observer (TID 1002, TID 1004): an installation of the node."""
    identifying = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid,
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MANUFACTURER,
        serial_number=serial_number,
    )
    return hd.sr.ObserverContext(
        observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=identifying,
    )


def language() -> hd.sr.LanguageOfContentItemAndDescendants:
    """Language of Content Item and Descendants (TID 1204): the node writes English."""
    return hd.sr.LanguageOfContentItemAndDescendants(concept(ENGLISH))


def _mark_equipment(dataset: Dataset, author: Author) -> None:
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER
    dataset.DeviceSerialNumber = author.device_serial_number[:_LONG_STRING]
    dataset.SoftwareVersions = f"{MANUFACTURER} {author.node_version}"[:_LONG_STRING]
    if author.institution_name:
        dataset.add(element("InstitutionName", author.institution_name))
