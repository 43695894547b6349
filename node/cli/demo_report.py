"""The statements of a structured report in words, for ``wetread demo``."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

MEASUREMENTS = ("125007", "126010")
"""Measurement Group and Imaging Measurements (DCM), the containers whose content is told."""

FINDING_CATEGORY = "276214006"
"""Finding category (SCT)."""


def statements(report: Dataset) -> Iterator[str]:
    """Yield one line for each finding, number and evaluation of a TID 1500 report, in order."""
    for item in report.get("ContentSequence", []):
        if _name(item, "CodeValue") in MEASUREMENTS:
            yield from _group(item)


def _group(container: Dataset) -> Iterator[str]:
    for item in container.get("ContentSequence", []):
        if item.ValueType == "CONTAINER":
            yield from _group(item)
        elif item.ValueType == "NUM" and item.get("MeasuredValueSequence"):
            yield _number(item)
        elif item.ValueType == "CODE" and _is_statement(item):
            yield f"{_name(item)}: {item.ConceptCodeSequence[0].CodeMeaning}"


def _is_statement(item: Dataset) -> bool:
    """Leave out what qualifies the group and says nothing about the patient."""
    return item.RelationshipType != "HAS CONCEPT MOD" and (
        _name(item, "CodeValue") != FINDING_CATEGORY
    )


def _number(item: Dataset) -> str:
    measured = item.MeasuredValueSequence[0]
    unit = measured.MeasurementUnitsCodeSequence[0]
    modifiers = [
        child.ConceptCodeSequence[0].CodeMeaning
        for child in item.get("ContentSequence", [])
        if child.ValueType == "CODE" and child.RelationshipType == "HAS CONCEPT MOD"
    ]
    what = ", ".join([_name(item), *modifiers])
    words = "" if unit.CodeValue == "1" else f" {unit.CodeMeaning}"
    return f"  {what}: {float(measured.NumericValue):.4g}{words}"


def _name(item: Dataset, part: str = "CodeMeaning") -> str:
    concept = item.get("ConceptNameCodeSequence")
    return str(concept[0].get(part, "")) if concept else ""
