"""Received instances with defaults: an axial CT slice and a chest radiograph."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from node.config.model import Rule
from node.domain import Instance, ModelSpec

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STORAGE = "1.2.840.10008.5.1.4.1.1."
CT_IMAGE, DX_IMAGE, SECONDARY_CAPTURE = STORAGE + "2", STORAGE + "1.1", STORAGE + "7"

CT: dict[str, Any] = {
    "Modality": "CT",
    "SeriesNumber": 2,
    "BodyPartExamined": "CHEST",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "Rows": 512,
    "Columns": 512,
    "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
}
DX: dict[str, Any] = {
    "Modality": "DX",
    "SeriesNumber": 1,
    "BodyPartExamined": "CHEST",
    "ImageType": ["DERIVED", "PRIMARY"],
    "PresentationIntentType": "FOR PRESENTATION",
    "ViewPosition": "PA",
    "Rows": 2048,
    "Columns": 2048,
}


def instance(
    number: int = 1,
    *,
    series: str = "1.2.1",
    sop_class: str = CT_IMAGE,
    received_s: float | None = None,
    digest: str | None = None,
    base: dict[str, Any] = CT,
    **attributes: Any,
) -> Instance:
    """Build one instance; None leaves an attribute out."""
    merged = {**base, "InstanceNumber": number, **attributes}
    if base is CT:
        merged.setdefault("ImagePositionPatient", [0.0, 0.0, 2.5 * number])
    uid = f"{series}.{number}"
    return Instance(
        study_instance_uid="1.2",
        series_instance_uid=series,
        sop_instance_uid=uid,
        sop_class_uid=sop_class,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        digest=f"digest of {uid}" if digest is None else digest,
        path=uid,
        size_bytes=1,
        received_at=NOON + timedelta(seconds=number if received_s is None else received_s),
        calling_ae_title="CT1",
        attributes={key: value for key, value in merged.items() if value is not None},
    )


def ct(slices: int = 3, **changes: Any) -> list[Instance]:
    """Build a CT series of slices that are 2.5 mm apart."""
    return [instance(number, **changes) for number in range(1, slices + 1)]


def dx(number: int = 1, **changes: Any) -> Instance:
    """Build a chest radiograph for presentation."""
    return instance(number, **{"sop_class": DX_IMAGE, "base": DX, "series": "1.2.9", **changes})


def rule(name: str = "CT chest", **changes: Any) -> Rule:
    """Build a rule that runs ct-lungs on every CT."""
    values = {"when": {"Modality": "CT"}, "run": ["ct-lungs"], "send_to": ["pacs"], **changes}
    return Rule.model_validate({"name": name, **values})


def model(name: str = "ct-lungs", *, per_image: bool = False, **select: Any) -> ModelSpec:
    """Build a model that takes everything."""
    return ModelSpec(name, "1.0.0", f"digest of {name}", per_image, select)
