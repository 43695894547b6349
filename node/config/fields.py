"""The fields a condition may name: the one list that headers, rules and docs share.

`node.store` keeps exactly `HEADER_FIELDS` of every header, so a field that is missing here
could never hold: naming one is a configuration error, not a rule that never fires.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from pydicom.datadict import tag_for_keyword

CODED_FIELDS: Final = (
    "AcquisitionNumber",
    "BodyPartExamined",
    "BurnedInAnnotation",
    "Columns",
    "ConvolutionKernel",
    "FrameOfReferenceUID",
    "ImageLaterality",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "ImagerPixelSpacing",
    "InstanceNumber",
    "KVP",
    "Laterality",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "NumberOfFrames",
    "PatientOrientation",
    "PhotometricInterpretation",
    "PixelSpacing",
    "PresentationIntentType",
    "Rows",
    "SOPClassUID",
    "SeriesNumber",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ViewPosition",
)
"""Header elements with codes, numbers and names of equipment: safe to show."""

PRIVATE_FIELDS: Final = (
    "ContrastBolusAgent",
    "InstitutionName",
    "PatientAge",
    "PatientSex",
    "ProtocolName",
    "RequestedProcedureDescription",
    "SeriesDescription",
    "StationName",
    "StudyDescription",
)
"""Header elements that people type into or that are about the patient: never shown."""

HEADER_FIELDS: Final = tuple(sorted(CODED_FIELDS + PRIVATE_FIELDS))
"""Every header element, by keyword, that rules and model packages can look at."""

COMPUTED_FIELDS: Final[Mapping[str, str]] = {
    "series_instances": "Instances of the series that are images a model could read.",
    "slices": "Images of the series; for multi-frame images, their frames.",
    "spacing_mm": "Median distance between neighbouring slices along their normal, mm.",
}
"""Fields that are computed from the series rather than read from one element."""


def check_field(name: str) -> str | None:
    """Say what is wrong with the name of a field, or None if a condition may use it."""
    if name in HEADER_FIELDS or name in COMPUTED_FIELDS:
        return None
    if tag_for_keyword(name) is not None:
        return f"{name} is a DICOM keyword, but not one the node keeps for rules"
    known = (*HEADER_FIELDS, *COMPUTED_FIELDS)
    lowered = {field.lower(): field for field in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    hint = f"; did you mean {lowered[near[0]]!r}?" if near else ""
    return f"{name!r} is neither a DICOM keyword nor one of {', '.join(COMPUTED_FIELDS)}{hint}"
