"""A series that is one volume → voxels on their grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from engines.types import Array, BoolArray, Grid, Volume
from node.dicom.frames import frame_headers, is_multiframe
from node.dicom.geometry import volume_grid
from node.dicom.header import check_readable, lenient, read_header, text
from node.dicom.modality import display_window, modality_values, unit_of
from node.dicom.pixels import read_frames
from node.domain import Source
from node.errors import GeometryError

_Slice = tuple[int, Dataset, Array, BoolArray | None]


@lenient()
def read_series(paths: Sequence[Path]) -> Source:
    """Read the images of one series as one volume.

    Either single-frame images, one per slice, in any order, or one multi-frame image with
    functional groups. All geometry is checked before any pixel is decoded.

    MONOCHROME1 does not change the voxels: in a volume it is a wish for the display, and
    Hounsfield units stay what they are. `read_image` inverts.

    Parameters
    ----------
    paths
        DICOM files (PS3.10).

    Returns
    -------
    Source
        float32 voxels, axes (k, j, i), k along the normal of the slices, in the unit of
        the modality transformation of each slice. The window is that of the middle slice.

    Raises
    ------
    GeometryError
        If the slices do not make a regular volume (see `node.dicom.geometry.volume_grid`),
        or if there are several multi-frame images.
    PermanentError
        If a file or its pixel data cannot be read, or if it is not a monochrome image.
    """
    headers = [read_header(path) for path in paths]
    check_readable(headers)
    multiframe = sum(map(is_multiframe, headers))
    if not multiframe:
        return _read_single_frames(paths, headers)
    if len(headers) > 1:
        raise GeometryError(
            f"{multiframe} of {len(headers)} instances are multi-frame images; expected one "
            "multi-frame image, or single-frame images only"
        )
    return _read_multiframe(paths[0], headers[0])


def _read_single_frames(paths: Sequence[Path], headers: Sequence[Dataset]) -> Source:
    order, grid = volume_grid(headers)
    datasets = tuple(headers[index] for index in order)
    slices: Iterator[_Slice] = (
        (k, headers[index], stored, padding)
        for k, index in enumerate(order)
        for stored, padding in read_frames(paths[index], headers[index])
    )
    return Source(volume=_stack(grid, datasets, slices), datasets=datasets)


def _read_multiframe(path: Path, header: Dataset) -> Source:
    headers = frame_headers(header)
    order, grid = volume_grid(headers)
    k_of_frame = {frame: k for k, frame in enumerate(order)}
    slices: Iterator[_Slice] = (
        (k_of_frame[frame], headers[frame], stored, padding)
        for frame, (stored, padding) in enumerate(read_frames(path, header))
    )
    volume = _stack(grid, [headers[frame] for frame in order], slices)
    return Source(
        volume=volume,
        datasets=(header,),
        frame_numbers=tuple(frame + 1 for frame in order),
    )


def _stack(grid: Grid, headers: Sequence[Dataset], slices: Iterator[_Slice]) -> Volume:
    """Fill the grid slice by slice; `headers` in the order of k."""
    voxels = np.empty(grid.shape, np.float32)
    padding = np.zeros(grid.shape, np.bool_)
    for k, header, stored, mask in slices:
        voxels[k] = modality_values(stored, header)
        if mask is not None:
            padding[k] = mask
    units = {unit_of(header) for header in headers}
    return Volume(
        voxels=voxels,
        grid=grid,
        modality=text(headers[0], "Modality"),
        unit=units.pop() if len(units) == 1 else "1",
        padding=padding if padding.any() else None,
        window=display_window(headers[len(headers) // 2]),
    )
