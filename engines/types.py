"""What flows through the engines: grids, volumes and results.

One axis order everywhere: ``(k, j, i)`` = (slice, row, column). One frame everywhere:
the DICOM patient coordinate system, LPS, in mm (PS3.3 Section C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
FloatArray: TypeAlias = npt.NDArray[np.float32]
VoxelArray: TypeAlias = npt.NDArray[np.int16] | npt.NDArray[np.float32]
LabelArray: TypeAlias = npt.NDArray[np.uint8]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Tensors: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an array are.

    Parameters
    ----------
    shape
        Number of slices, rows and columns. A radiograph has one slice.
    affine
        4 by 4 float64: maps the voxel index ``(k, j, i, 1)`` of a voxel's *centre* to
        LPS mm. For a projection image it is diagonal and holds the spacing only.
    patient_frame
        False for projection images: the affine is then no place in the patient.
    spacing_known
        False where neither PixelSpacing nor ImagerPixelSpacing was given; the affine
        then counts pixels, and nothing in mm may be derived from it.
    """

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    patient_frame: bool = True
    spacing_known: bool = True

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along k, j and i, mm."""
        k, j, i = (float(np.linalg.norm(self.affine[:3, axis])) for axis in range(3))
        return k, j, i


@dataclass(frozen=True)
class Volume:
    """One image or stack of images as the models want it.

    Parameters
    ----------
    voxels
        Axes (k, j, i), in `unit` after the modality transformation; bright means more
        attenuation or signal (MONOCHROME1 is already inverted). int16 where every value is
        a whole number that fits, which is half the memory, else float32: arithmetic begins
        with a slice as float32, for int16 overflows.
    grid
        Where the voxels are.
    modality
        DICOM Modality (0008,0060), such as ``"CT"``.
    unit
        UCUM code of the voxel values, ``"[hnsf'U]"`` for Hounsfield units, ``"1"`` for
        values without unit.
    padding
        True where the source says that there is no image (PixelPaddingValue); None
        where there is no such voxel.
    window
        Centre and width the source suggests for display, in `unit`, or None.
    """

    voxels: VoxelArray
    grid: Grid
    modality: str
    unit: str = "1"
    padding: BoolArray | None = None
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class Code:
    """A coded concept: code value, coding scheme designator, code meaning (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


LATERALITIES: Final = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
    "bilateral": Code("51440002", "SCT", "Bilateral"),
}
"""Laterality (PS3.16 CID 244)."""


@dataclass(frozen=True)
class Label:
    """One value of a label map.

    Parameters
    ----------
    value
        1 … 255, the value in the label map.
    name
        Short human name, unique in its package.
    category, type
        Segmented property category and type (PS3.3 Section C.8.20.2).
    color
        Display colour, sRGB, 0 … 255.
    site, laterality
        Where a finding is, and on which side (CID 244), where its type does not say it.
    """

    value: int
    name: str
    category: Code
    type: Code
    color: tuple[int, int, int]
    site: Code | None = None
    laterality: Code | None = None


@dataclass(frozen=True)
class Measurement:
    """One number about one label.

    Parameters
    ----------
    label
        Value in the label map that was measured.
    name
        ``area``, ``volume``, ``mean``, ``standard_deviation``, ``extent_craniocaudal``,
        ``extent_anteroposterior``, ``extent_transverse`` (patient frame) or
        ``extent_vertical``, ``extent_horizontal`` (projection image).
    value
        In `unit`.
    unit
        UCUM code: ``mm2``, ``ml``, ``mm``, ``[hnsf'U]``, ``{pixels}``, ``1``.
    """

    label: int
    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Result:
    """What a task makes of an image; every result type is a frozen dataclass derived from it.

    Its fields hold numbers, texts, None, arrays, tuples, and dataclasses of these, and are
    annotated with those types: the node keeps a result as a file between two steps, and reads
    it back by the annotations.
    """


def count_voxels(labelmap: LabelArray) -> npt.NDArray[np.intp]:
    """Count the voxels of each of the 256 values of a label map (k, j, i)."""
    total: npt.NDArray[np.intp] = count_slices(labelmap).sum(axis=0)
    return total


def count_slices(labelmap: LabelArray) -> npt.NDArray[np.intp]:
    """Count the voxels of each of the 256 values in each slice of a label map (k, j, i).

    Returns
    -------
    array
        Shape (slices, 256).
    """
    counts = np.empty((len(labelmap), 256), dtype=np.intp)
    # Slice by slice, the background aside: NumPy counts a copy that takes eight times the memory.
    for k, plane in enumerate(labelmap):
        labelled = plane[plane != 0]
        counts[k] = np.bincount(labelled, minlength=256)
        counts[k, 0] = plane.size - labelled.size
    return counts


@dataclass(frozen=True)
class SegmentationResult(Result):
    """A label map on the grid of the source.

    Parameters
    ----------
    labelmap
        uint8, axes (k, j, i), same shape as the source volume; 0 is background. Not changed
        once the result is made.
    labels
        Every label the model can give, found or not.
    measurements
        Only of labels that were found.
    probabilities
        uint8, axes (label, k, j, i), labels in the order of `labels`: 0 … 255 for 0 … 1. Only
        where the package asks for it.
    """

    labelmap: LabelArray
    labels: tuple[Label, ...]
    measurements: tuple[Measurement, ...]
    probabilities: LabelArray | None = None

    @cached_property
    def slice_counts(self) -> npt.NDArray[np.intp]:
        """Voxels of each of the 256 values in each slice, shape (slices, 256); counted once."""
        return count_slices(self.labelmap)

    @cached_property
    def voxel_counts(self) -> npt.NDArray[np.intp]:
        """Voxels of each of the 256 values."""
        total: npt.NDArray[np.intp] = self.slice_counts.sum(axis=0)
        return total


@dataclass(frozen=True)
class ImageResult(Result):
    """An image that a model has made of the source: enhanced, registered or synthesised.

    Parameters
    ----------
    voxels
        float32, axes (k, j, i), on the grid of the source and in its unit.
    description
        What was done, in one sentence (DerivationDescription).
    """

    voxels: FloatArray
    description: str


@dataclass(frozen=True)
class ClassScore:
    """One class and its calibrated probability, 0 … 1."""

    name: str
    code: Code
    probability: float


@dataclass(frozen=True)
class ClassificationResult(Result):
    """What a classifier says of one image or volume.

    Parameters
    ----------
    concept
        What was classified, such as *Image View*.
    scores
        Every class, in the package's order.
    predicted
        Name of the class chosen, or None where the model abstains.
    """

    concept: Code
    scores: tuple[ClassScore, ...]
    predicted: str | None


BuiltInResult: TypeAlias = SegmentationResult | ClassificationResult
"""What the pictures can show."""


@dataclass(frozen=True)
class Provenance:
    """What made a result.

    Parameters
    ----------
    model, version
        Name and version of the model package.
    weights_sha256
        Hex digest of the model file.
    backend, device
        Such as ``onnx`` on ``cpu``.
    seconds
        Wall time inside the model.
    """

    model: str
    version: str
    weights_sha256: str
    backend: str
    device: str
    seconds: float
    notes: tuple[str, ...] = field(default=())
