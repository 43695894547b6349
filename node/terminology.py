"""The codes the node writes: one table for measurements, units, procedures and answers.

Every code is of DICOM PS3.16 (DCM), SNOMED CT (SCT), LOINC (LN) or UCUM; none is private.
Where PS3.16 has a context group for the purpose, it is named.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines.types import Code


@dataclass(frozen=True)
class MeasurementConcept:
    """What a measurement's number means.

    Parameters
    ----------
    concept
        Name of the quantity.
    derivation
        How one number was made of many (DCM 121401 *Derivation*), or None.
    caption
        Short English words for a picture.
    """

    concept: Code
    derivation: Code | None
    caption: str


ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")
STANDARD_DEVIATION = Code("386136009", "SCT", "Standard Deviation")
HEIGHT = Code("121207", "DCM", "Height")
WIDTH = Code("103355008", "SCT", "Width")
DEPTH = Code("131197000", "SCT", "Depth")

SIZES = {
    "area": MeasurementConcept(Code("42798000", "SCT", "Area"), None, "Area"),
    "volume": MeasurementConcept(Code("118565006", "SCT", "Volume"), None, "Volume"),
    "extent_craniocaudal": MeasurementConcept(HEIGHT, None, "Height (cranio-caudal)"),
    "extent_anteroposterior": MeasurementConcept(DEPTH, None, "Depth (antero-posterior)"),
    "extent_transverse": MeasurementConcept(WIDTH, None, "Width (left-right)"),
    "extent_vertical": MeasurementConcept(HEIGHT, None, "Height"),
    "extent_horizontal": MeasurementConcept(WIDTH, None, "Width"),
}
"""Sizes of a region (CID 7469, CID 7470), by `engines.types.Measurement.name`."""

INTENSITIES = {
    "CT": Code("110850", "DCM", "X-Ray Attenuation"),
    "CR": Code("110850", "DCM", "X-Ray Attenuation"),
    "DX": Code("110850", "DCM", "X-Ray Attenuation"),
    "MG": Code("110850", "DCM", "X-Ray Attenuation"),
    "XA": Code("110850", "DCM", "X-Ray Attenuation"),
    "MR": Code("110852", "DCM", "MR signal intensity"),
}
"""What voxel values without a unit are (CID 7469), by Modality (0008,0060)."""

STATISTICS = {
    "mean": (MEAN, "Mean"),
    "standard_deviation": (STANDARD_DEVIATION, "Standard deviation"),
}
"""Statistics of the voxel values inside a region (CID 7464), by name."""

UNITS = {
    "mm": Code("mm", "UCUM", "millimeter"),
    "mm2": Code("mm2", "UCUM", "square millimeter"),
    "ml": Code("ml", "UCUM", "milliliter"),
    "[hnsf'U]": Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
    "{pixels}": Code("{pixels}", "UCUM", "pixels"),
    "1": Code("1", "UCUM", "no units"),
}
"""Units by their UCUM code (PS3.16 Section 7.2.2)."""

PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
}
"""Procedure reported (CID 100), by Modality (0008,0060)."""

IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
MODALITIES = {
    "CT": Code("CT", "DCM", "Computed Tomography"),
    "MR": Code("MR", "DCM", "Magnetic Resonance"),
    "NM": Code("NM", "DCM", "Nuclear Medicine"),
    "PT": Code("PT", "DCM", "Positron emission tomography"),
    "CR": Code("CR", "DCM", "Computed Radiography"),
    "DX": Code("DX", "DCM", "Digital Radiography"),
    "MG": Code("MG", "DCM", "Mammography"),
    "US": Code("US", "DCM", "Ultrasound"),
    "XA": Code("XA", "DCM", "X-Ray Angiography"),
}
"""Modality in the image library (CID 29), by Modality (0008,0060)."""

PRESENCE = Code("705057003", "SCT", "Presence")
NOT_DETECTED = Code("260415000", "SCT", "Not detected")
INDETERMINATE = Code("82334004", "SCT", "Indeterminate")
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
FINDINGS = Code("59776-5", "LN", "Findings")
FINDING = Code("121071", "DCM", "Finding")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
CERTAINTY_OF_FINDING = Code("111012", "DCM", "Certainty of Finding")
CONCLUSION = Code("121077", "DCM", "Conclusion")
SOURCE_DOCUMENT = Code("121335", "DCM", "Source Document")
LATERALITY = Code("272741003", "SCT", "Laterality")
SEVERITY = Code("246112005", "SCT", "Severity")
SEVERITIES = {
    "mild": Code("255604002", "SCT", "Mild"),
    "moderate": Code("6736007", "SCT", "Moderate"),
    "severe": Code("24484000", "SCT", "Severe"),
}
"""Severity (CID 3716)."""
CHANGES = {
    "new": Code("129721008", "SCT", "New finding"),
    "stable": Code("129723006", "SCT", "No significant changes in the finding"),
    "larger": Code("15454001", "SCT", "Increase in size"),
    "smaller": Code("19776001", "SCT", "Decrease in size"),
}
"""Change against the prior study (CID 6134; a new finding: CID 6002). None for *resolved*."""
AXES = (
    Code("103339001", "SCT", "Long axis"),
    Code("103340004", "SCT", "Short axis"),
    DEPTH,
)
"""Dimensions of a size, the largest first."""
ACTIONABLE_FINDINGS = {
    1: Code("RID49480", "RADLEX", "ACR Category 1 Actionable Finding"),
    2: Code("RID49481", "RADLEX", "ACR Category 2 Actionable Finding"),
    3: Code("RID49482", "RADLEX", "ACR Category 3 Actionable Finding"),
}
"""Actionable Finding Classification (CID 7035)."""
PROBABILITY = Code("122157", "DCM", "Probability")
COMMENT = Code("121106", "DCM", "Comment")
SEGMENTATION = Code("113076", "DCM", "Segmentation")
SOURCE_FOR_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")
UNSPECIFIED_METHOD = Code("112187", "DCM", "Unspecified method of calculation")
OF_INTEREST = Code("113000", "DCM", "Of Interest")
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
AREA = Code("42798000", "SCT", "Area")
LENGTH = Code("410668003", "SCT", "Length")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")
ENGLISH = Code("en", "RFC5646", "English")
SUMMARY_OF_ANALYSES = Code("111065", "DCM", "Summary of Analyses")
ANALYSIS_PERFORMED = Code("111004", "DCM", "Analysis Performed")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
RESULT_STATUS = {
    "succeeded": Code("111222", "DCM", "Succeeded"),
    "partially succeeded": Code("111223", "DCM", "Partially Succeeded"),
    "failed": Code("111224", "DCM", "Failed"),
    "not attempted": Code("111225", "DCM", "Not Attempted"),
}
"""Status of results (CID 6042)."""


def measurement_concept(name: str, unit: str, modality: str) -> MeasurementConcept | None:
    """Look up what a measurement means.

    Parameters
    ----------
    name
        As in `engines.types.Measurement`.
    unit
        UCUM code of its value.
    modality
        Of the source; says what voxel values without a unit are.

    Returns
    -------
    MeasurementConcept or None
        None where no standard code says what was measured.
    """
    if name in SIZES:
        return SIZES[name]
    if name not in STATISTICS:
        return None
    derivation, caption = STATISTICS[name]
    if unit == "[hnsf'U]":
        return MeasurementConcept(ATTENUATION, derivation, f"{caption} (attenuation)")
    if modality not in INTENSITIES:
        return None
    return MeasurementConcept(INTENSITIES[modality], derivation, f"{caption} (pixel value)")


def procedure_reported(modality: str) -> Code:
    """Code of the procedure a report is about; *Imaging procedure* where the table is silent."""
    return PROCEDURES.get(modality, IMAGING_PROCEDURE)
