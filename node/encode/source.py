"""The source images as the encoders need them: few elements, all present, all readable.

highdicom takes patient, geometry and references from the source data sets and fails on
absent Type 2 elements, on long decimal strings and on most character sets outside the West.
So it is handed small copies without patient data; the patient is added afterwards, by
`node.encode.marking`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from engines.types import Grid
from node.domain import ResultContext, Source
from node.encode.identity import TYPE_2, identity, is_valid, plain_copy
from node.encode.text import numbers, text_value
from node.errors import PermanentError

LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""Once lossy, an image and all that is made of it stay so (PS3.3 Section C.7.6.1.1.5)."""
_POSITION_TOLERANCE = 0.5
"""Share of the voxel spacing by which a header may lie off the grid."""


@dataclass(frozen=True)
class Headers:
    """What the encoders know of the source images.

    Parameters
    ----------
    identity
        Patient and Study modules, see `node.encode.identity.identity`.
    images
        Per SOP instance a data set without patient data: references, pixel matrix and, in
        the patient frame, geometry. For single-frame images in the order of the k axis.
    acquisition
        The first image's header, for its equipment and body part.
    """

    identity: Dataset
    images: tuple[Dataset, ...]
    acquisition: Dataset


def prepare(source: Source, context: ResultContext) -> Headers:
    """Check a source against its own grid and reduce its headers.

    Raises
    ------
    PermanentError
        If a required element is absent, the images and the grid do not agree, or the
        images are of another study or of several patients. The message names the element.
    """
    if not source.datasets:
        raise PermanentError("the source has no image headers")
    first = source.datasets[0]
    _check_one_subject(source, context)
    _check_matrix(source)
    if source.frame_numbers is None:
        images = tuple(_single_frame(ds, source.volume.grid) for ds in source.datasets)
    else:
        images = (_multi_frame(first, source.volume.grid, source.frame_numbers),)
    if source.volume.grid.patient_frame and source.stack is None:
        _check_positions(images, source.volume.grid)
    return Headers(identity=identity(first), images=images, acquisition=first)


_EVEN = 0.01
"""Share of the distance between slices by which it may vary and still be stated."""


def body_part(ds: Dataset) -> str:
    """*BodyPartExamined* of a header, or empty where it is absent or not a code string."""
    value = text_value(ds, "BodyPartExamined")
    return value if value and is_valid("BodyPartExamined", value) else ""


def frame_group(ds: Dataset, index: int, keyword: str) -> Dataset | None:
    """Find one functional group of one frame (PS3.3 Section C.7.6.16).

    Parameters
    ----------
    index
        Frame number minus one.
    keyword
        Sequence of the macro, such as ``PlanePositionSequence``.

    Returns
    -------
    Dataset or None
        Its first item, of the frame or else shared by all frames.
    """
    per_frame = ds.get("PerFrameFunctionalGroupsSequence", None) or []
    shared = ds.get("SharedFunctionalGroupsSequence", None) or []
    for groups in ([per_frame[index]] if index < len(per_frame) else [], shared[:1]):
        for group in groups:
            items = group.get(keyword, None)
            if items:
                return items[0]  # type: ignore[no-any-return]
    return None


def _check_one_subject(source: Source, context: ResultContext) -> None:
    studies = {text_value(ds, "StudyInstanceUID") for ds in source.datasets}
    if studies != {context.study_instance_uid}:
        raise PermanentError(
            "StudyInstanceUID (0020,000D) of the source images is not the study's "
            f"{context.study_instance_uid}"
        )
    for keyword in ("PatientID", "SeriesInstanceUID"):
        count = len({text_value(ds, keyword) for ds in source.datasets})
        if count > 1:
            raise PermanentError(f"the source images have {count} values of {keyword}, expected 1")


def _check_matrix(source: Source) -> None:
    slices, rows, columns = source.volume.grid.shape
    if source.volume.voxels.shape != (slices, rows, columns):
        raise PermanentError(
            f"the source's voxels are {source.volume.voxels.shape}, its grid is "
            f"{source.volume.grid.shape}"
        )
    for ds in source.datasets:
        found = (ds.get("Rows", None), ds.get("Columns", None))
        if found != (rows, columns):
            raise PermanentError(f"Rows and Columns are {found}, the grid has {(rows, columns)}")
    frames = source.frame_numbers
    if frames is None and len(source.datasets) != slices:
        raise PermanentError(f"{len(source.datasets)} images for a grid of {slices} slices")
    if frames is not None and (len(source.datasets), len(frames)) != (1, slices):
        raise PermanentError(
            f"{len(frames)} frames of {len(source.datasets)} images for a grid of {slices} slices"
        )


def _references(ds: Dataset) -> Dataset:
    """Copy what every image has: UIDs, pixel matrix, compression; the patient is left empty."""
    copy = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        value = text_value(ds, keyword)
        if not value or not is_valid(keyword, value):
            raise PermanentError(f"{keyword} of a source image is {value!r}, expected a UID")
        setattr(copy, keyword, value)
    for keyword in TYPE_2:
        setattr(copy, keyword, "")
    copy.Modality = text_value(ds, "Modality") or "OT"
    copy.Rows, copy.Columns = ds.Rows, ds.Columns
    copy.update(plain_copy(ds, LOSSY))
    return copy


def _add_frame_of_reference(copy: Dataset, ds: Dataset) -> None:
    uid = text_value(ds, "FrameOfReferenceUID")
    if not uid or not is_valid("FrameOfReferenceUID", uid):
        raise PermanentError(
            f"FrameOfReferenceUID (0020,0052) of a source image is {uid!r}, expected a UID: "
            "a result cannot be placed in the patient without it"
        )
    copy.FrameOfReferenceUID = uid
    copy.PositionReferenceIndicator = text_value(ds, "PositionReferenceIndicator")


def _single_frame(ds: Dataset, grid: Grid) -> Dataset:
    copy = _references(ds)
    if not grid.patient_frame:
        return copy
    _add_frame_of_reference(copy, ds)
    copy.update(_measures(ds, grid))
    copy.ImagePositionPatient = _vector(ds, "ImagePositionPatient", 3)
    copy.ImageOrientationPatient = _vector(ds, "ImageOrientationPatient", 6)
    return copy


def _multi_frame(ds: Dataset, grid: Grid, frame_numbers: tuple[int, ...]) -> Dataset:
    """Reduce a multi-frame image to the frames that are slices of the grid, in its order."""
    copy = _references(ds)
    copy.NumberOfFrames = len(frame_numbers)
    if not grid.patient_frame:
        return copy
    _add_frame_of_reference(copy, ds)
    first = frame_numbers[0] - 1
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    orientation = _functional_group(ds, first, "PlaneOrientationSequence")
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = _vector(
        orientation, "ImageOrientationPatient", 6
    )
    measures = frame_group(ds, first, "PixelMeasuresSequence") or Dataset()
    shared.PixelMeasuresSequence = [_measures(measures, grid)]
    copy.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number in frame_numbers:
        position = Dataset()
        position.ImagePositionPatient = _vector(
            _functional_group(ds, number - 1, "PlanePositionSequence"), "ImagePositionPatient", 3
        )
        frame = Dataset()
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    copy.PerFrameFunctionalGroupsSequence = frames
    return copy


def _functional_group(ds: Dataset, index: int, keyword: str) -> Dataset:
    item = frame_group(ds, index, keyword)
    if item is None:
        raise PermanentError(f"frame {index + 1} of the source image has no {keyword}")
    return item


def _measures(ds: Dataset, grid: Grid) -> Dataset:
    """Pixel Measures macro (PS3.3 Section C.7.6.16.2.1): of the header, else of the grid."""
    between_slices, *in_plane = grid.spacing_mm
    spacing = numbers(ds, "PixelSpacing", 2) or in_plane
    thickness = numbers(ds, "SliceThickness", 1) or [between_slices]
    measures = Dataset()
    measures.PixelSpacing = [format_number_as_ds(value) for value in spacing]
    measures.SliceThickness = format_number_as_ds(thickness[0])
    return measures


def _vector(ds: Dataset, keyword: str, count: int) -> list[str]:
    """Read a position or an orientation, its decimal strings shortened to 16 characters."""
    found = numbers(ds, keyword, count)
    if found is None:
        raise PermanentError(f"{keyword} of a source image is not {count} numbers")
    return [format_number_as_ds(value) for value in found]


def positions(images: tuple[Dataset, ...]) -> npt.NDArray[np.float64]:
    """ImagePositionPatient of every slice, shape (k, 3), mm, LPS."""
    if "PerFrameFunctionalGroupsSequence" in images[0]:
        frames = images[0].PerFrameFunctionalGroupsSequence
        found = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames]
    else:
        found = [image.ImagePositionPatient for image in images]
    return np.array(found, dtype=np.float64)


def even_spacing(images: tuple[Dataset, ...]) -> float | None:
    """Distance between neighbouring slices, mm; None where they are uneven, or there are none."""
    shared = images[0].get("SharedFunctionalGroupsSequence", None)
    if "ImagePositionPatient" not in images[0] and shared is None:
        return None
    gaps = np.linalg.norm(np.diff(positions(images), axis=0), axis=1)
    if not len(gaps) or np.ptp(gaps) > _EVEN * gaps.mean():
        return None
    return float(gaps.mean())


def _check_positions(images: tuple[Dataset, ...], grid: Grid) -> None:
    index = np.zeros((grid.shape[0], 4))
    index[:, 0], index[:, 3] = np.arange(grid.shape[0]), 1.0
    expected = (index @ grid.affine.T)[:, :3]
    distance = np.linalg.norm(positions(images) - expected, axis=1)
    spacing = grid.spacing_mm
    allowed = _POSITION_TOLERANCE * (min(spacing) if grid.shape[0] > 1 else min(spacing[1:]))
    if distance.max() > allowed:
        k = int(distance.argmax())
        raise PermanentError(
            f"ImagePositionPatient (0020,0032) of slice {k} is {distance[k]:.2f} mm away from "
            f"where the grid has it; at most {allowed:.2f} mm are allowed"
        )
