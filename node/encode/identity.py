"""Whose object it is: the Patient and Study modules, copied from one source image.

An archive files an object under these elements, so they are copied as they are, even where
a value breaks its value representation: a name that is too long is still the name the
archive knows. Dates and numbers that cannot be read are left out instead, because receivers
parse them. Nothing is made up: absent Type 2 elements become empty.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom import config
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import validate_value

from node.encode.text import text_value, text_values
from node.errors import PermanentError

TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""Required, may be empty (PS3.3 Sections C.7.1.1 and C.7.2.1)."""

OPTIONAL = (
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthTime",
    "EthnicGroup",
    "QualityControlSubject",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
    "PhysiciansOfRecord",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientSexNeutered",
    "AdmissionID",
    "MedicalAlerts",
    "Allergies",
    "AdditionalPatientHistory",
    "PatientSpeciesDescription",
    "PatientBreedDescription",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "TimezoneOffsetFromUTC",
)
"""Copied where present (Patient, Study, Patient Study and Clinical Trial modules)."""

_PARSED = {"AS", "DA", "TM", "DT", "DS", "IS", "UI"}
"""Value representations that receivers parse: an unreadable value is left out."""

_BINARY = {"OB", "OW", "OD", "OF", "OL", "OV", "UN", "US", "UL", "SS", "SL", "FL", "FD", "AT"}

_CONDITIONAL = {
    "ClinicalTrialProtocolID": "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolName": "ClinicalTrialSponsorName",
    "ClinicalTrialSiteID": "ClinicalTrialSponsorName",
    "ClinicalTrialSiteName": "ClinicalTrialSponsorName",
}
"""Type 2 elements of a module that is there only if its Type 1 element is."""


def identity(ds: Dataset) -> Dataset:
    """Copy the Patient and Study modules of a source image.

    Parameters
    ----------
    ds
        Header of one source image.

    Returns
    -------
    Dataset
        Its Patient, Study, Patient Study and Clinical Trial elements with text in Unicode,
        to be written as ISO_IR 192 (UTF-8).

    Raises
    ------
    PermanentError
        If StudyInstanceUID is absent.
    """
    study_instance_uid = text_value(ds, "StudyInstanceUID")
    if not study_instance_uid:
        raise PermanentError("StudyInstanceUID (0020,000D) is absent from the source image")
    copy = plain_copy(ds, (*TYPE_2, *OPTIONAL))
    copy.add(element("StudyInstanceUID", study_instance_uid))
    for keyword in TYPE_2:
        if keyword not in copy:
            copy.add(element(keyword, None))
    for keyword, needed in _CONDITIONAL.items():
        if keyword in copy and needed not in copy:
            delattr(copy, keyword)
    return copy


def plain_copy(ds: Dataset, keywords: Iterable[str]) -> Dataset:
    """Copy elements by keyword: text in Unicode, sequences item by item, nothing private.

    Parameters
    ----------
    ds
        Any data set.
    keywords
        What to copy; absent and empty elements are left out.
    """
    copy = Dataset()
    for keyword in keywords:
        if keyword not in ds:
            continue
        if dictionary_VR(_tag(keyword)) == "SQ":
            items = [plain_copy(item, _public_keywords(item)) for item in ds[keyword].value or ()]
            if any(len(item) for item in items):
                copy.add(DataElement(_tag(keyword), "SQ", Sequence(items)))
            continue
        values = text_values(ds, keyword)
        if values and _can_be_written(keyword, values):
            copy.add(element(keyword, values if len(values) > 1 else values[0]))
    return copy


def element(keyword: str, value: object) -> DataElement:
    """Make a data element whose value is taken as it is, without validation."""
    tag = _tag(keyword)
    return DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE)


def is_valid(keyword: str, value: str) -> bool:
    """Whether a value fits the value representation of its element (PS3.5 Section 6.2)."""
    try:
        validate_value(dictionary_VR(_tag(keyword)), value, config.RAISE)
    except ValueError:
        return False
    return True


def _can_be_written(keyword: str, values: list[str]) -> bool:
    vr = dictionary_VR(_tag(keyword))
    if vr not in _PARSED:
        return True
    if not all(is_valid(keyword, value) for value in values):
        return False
    if vr in {"DS", "IS"}:
        return all(_is_number(value) for value in values)
    return True


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _public_keywords(item: Dataset) -> list[str]:
    """Keywords of the standard elements of an item that hold characters or items."""
    keywords = [keyword_for_tag(tag) for tag in item.keys()]  # noqa: SIM118
    return [keyword for keyword in keywords if keyword and dictionary_VR(keyword) not in _BINARY]


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise PermanentError(f"{keyword} is not a keyword of PS3.6")
    return tag
