"""Sources read from synthetic images, results made up on them, and the real tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.types import (
    ClassificationResult,
    ClassScore,
    Code,
    Label,
    Measurement,
    Provenance,
    SegmentationResult,
)
from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.domain import ResultContext, ResultKind, Source
from tests.builders.ct import ct_series, enhanced_ct
from tests.builders.files import write
from tests.builders.radiograph import radiograph

SOURCES = ("ct", "enhanced", "CR", "DX")
ALL_KINDS = (ResultKind.SEG, ResultKind.SR, ResultKind.SC)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)

LUNG = Code("39607008", "SCT", "Lung")
STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
LEFT = Label(2, "Left lung", STRUCTURE, LUNG, (76, 201, 240))
RIGHT = Label(5, "Right lung", STRUCTURE, LUNG, (247, 127, 0))
IMAGE_VIEW = Code("111031", "DCM", "Image View")


def make_source(kind: str, folder: Path, **changes: Any) -> Source:
    """Write synthetic images of one kind and read them as the node does."""
    if kind == "ct":
        return read_series(write(ct_series(**{"slices": 6, **changes}), folder))
    if kind == "enhanced":
        return read_series(write(enhanced_ct(slices=6, **changes), folder))
    return read_image(write(radiograph(modality=kind, **changes), folder)[0])


def make_context(source: Source, **changes: Any) -> ResultContext:
    """Make the context of a research package that wants every kind of object."""
    values: dict[str, Any] = {
        "study_instance_uid": str(source.datasets[0].StudyInstanceUID),
        "revision": 1,
        "run_key": "ab" * 32,
        "made_at": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        "provenance": Provenance("lungs", "1.2.0", "cd" * 32, "onnx", "cpu", 1.0),
        "kinds": ALL_KINDS,
        "title": "Lung segmentation",
        "intended_use": "Outlines the lungs for research on lung volume.",
        "content_qualification": "RESEARCH",
        "series_description": "Lungs",
        "prefix": "AI",
        "series_number": 9000,
        "node_version": "0.1.0",
        "config_digest": "ef" * 32,
        "institution_name": None,
        "device_serial_number": "SN-1",
        "device_uid": "2.25.1",
    }
    return ResultContext(**{**values, **changes})


def lungs(source: Source, *, left: bool = True, right: bool = True) -> SegmentationResult:
    """Two boxes with a notch, as lungs: asymmetric along every axis."""
    labelmap = np.zeros(source.volume.grid.shape, dtype=np.uint8)
    slices, rows, columns = labelmap.shape
    last = max(1, slices - 1)
    top, bottom, middle = rows // 5, rows - 2, columns // 2
    measurements = []
    for label, wanted, start, stop in (
        (RIGHT, right, 1, middle - 1),
        (LEFT, left, middle + 1, columns - 2),
    ):
        if not wanted:
            continue
        labelmap[slices // 3 : last, top:bottom, start:stop] = label.value
        labelmap[slices // 3, top : top + 2, start : start + 2] = 0
        measurements += [
            Measurement(label.value, "volume", 2131.5, "ml"),
            Measurement(label.value, "mean", -812.25, "[hnsf'U]"),
            Measurement(label.value, "extent_transverse", 131.0, "mm"),
        ]
    return SegmentationResult(labelmap, (RIGHT, LEFT), tuple(measurements))


def with_probabilities(result: SegmentationResult) -> SegmentationResult:
    """Give a result probabilities of 200 of 255 where its labels are."""
    values = [(result.labelmap == label.value) * np.uint8(200) for label in result.labels]
    return replace(result, probabilities=np.stack(values))


def view_of(predicted: str | None) -> ClassificationResult:
    """A view classifier's answer; None abstains."""
    scores = (
        ClassScore("PA", Code("399348003", "SCT", "antero-posterior"), 0.75),
        ClassScore("Lateral", Code("399067008", "SCT", "lateral projection"), 0.25),
    )
    return ClassificationResult(IMAGE_VIEW, scores, predicted)


@pytest.fixture
def source_of(tmp_path: Path) -> Callable[..., Source]:
    """Make a source of a kind, with attributes changed by keyword."""

    def make(kind: str, **changes: Any) -> Source:
        return make_source(kind, tmp_path / "source", **changes)

    return make
