"""Pay the first-use costs of the encoders before the first study waits for them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from engines.types import Code, Grid, Label, Provenance, SegmentationResult, Volume
from node.domain import ResultContext, ResultKind, Source, derived_uid
from node.encode.base import encode

_STUDY = derived_uid("warm up", "study")


def warm_up() -> None:
    """Encode two tiny slices and forget them.

    highdicom reads the tables of the standard (JSON) on first use and Pillow the font:
    about a third of a second. Nothing is written, no clock is read.
    """
    labelmap = np.zeros((2, 8, 8), dtype=np.uint8)
    labelmap[:, 2:5, 2:5] = 1
    lung = Code("39607008", "SCT", "Lung")
    structure = Code("123037004", "SCT", "Anatomical Structure")
    label = Label(1, "Lung", structure, lung, (76, 201, 240))
    encode(SegmentationResult(labelmap, (label,), ()), _source(), _context())


def _source() -> Source:
    grid = Grid(shape=(2, 8, 8), affine=np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]])
    voxels = np.zeros(grid.shape, dtype=np.float32)
    return Source(Volume(voxels, grid, "CT"), tuple(_slice(k) for k in range(2)))


def _slice(k: int) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = derived_uid("warm up", "instance", str(k))
    ds.StudyInstanceUID = _STUDY
    ds.SeriesInstanceUID = derived_uid("warm up", "series")
    ds.FrameOfReferenceUID = derived_uid("warm up", "frame of reference")
    ds.Modality = "CT"
    ds.Rows, ds.Columns = 8, 8
    ds.ImagePositionPatient = [0, 0, k]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
    return ds


def _context() -> ResultContext:
    return ResultContext(
        study_instance_uid=_STUDY,
        revision=1,
        run_key="",
        made_at=datetime(2000, 1, 1, tzinfo=UTC),
        provenance=Provenance("warm-up", "1", "0" * 64, "none", "none", 0.0),
        kinds=(ResultKind.SEG, ResultKind.SR, ResultKind.SC),
        title="Warm-up",
        intended_use="None",
        content_qualification="RESEARCH",
        series_description="Warm-up",
        prefix="AI",
        series_number=1,
        node_version="0",
        config_digest="",
        institution_name=None,
        device_serial_number="0",
        device_uid=derived_uid("warm up", "device"),
    )
