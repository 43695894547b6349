"""A series that is one volume → voxels on their grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydicom.dataset import Dataset

from engines.types import Array, BoolArray, Grid, Volume, VoxelArray
from node.dicom.file import HeaderReader, ImageFile
from node.dicom.frames import frame_headers, is_multiframe
from node.dicom.geometry import volume_grid
from node.dicom.header import check_readable, lenient, text
from node.dicom.modality import display_window, fill_modality_values, has_whole_values, unit_of
from node.dicom.pixels import open_frames
from node.domain import Source
from node.errors import GeometryError

THREADS = min(4, os.cpu_count() or 1)
"""That read and decode slices at once; as many frames are in memory beside the volume."""

_Filled: TypeAlias = tuple[bool, bool]
"""Whether the values of a slice fit, and whether it has padding."""


@lenient()
def read_series(paths: Sequence[Path], frames: Sequence[int] = ()) -> Source:
    """Read the images of one series as one volume.

    Either single-frame images, one per slice, in any order, or one multi-frame image with
    functional groups. All geometry is checked before any pixel is decoded.

    MONOCHROME1 does not change the voxels: in a volume it is a wish for the display, and
    Hounsfield units stay what they are. `read_image` inverts.

    Parameters
    ----------
    paths
        DICOM files (PS3.10).
    frames
        Of a multi-frame image, the numbers from 1 of those that are the volume, in any order;
        empty: all.

    Returns
    -------
    Source
        Voxels, axes (k, j, i), k along the normal of the slices, in the unit of
        the modality transformation of each slice: int16 where all of them are whole and fit,
        else float32. The window is that of the middle slice.
        Where the slices lean or are unevenly spaced, `stack` is the way to a regular grid.

    Raises
    ------
    GeometryError
        If the slices do not make a regular volume (see `node.dicom.geometry.volume_grid`),
        or if there are several multi-frame images.
    PermanentError
        If a file or its pixel data cannot be read, or if it is not a monochrome image.
    """
    reader = HeaderReader()
    images = [reader.read(path) for path in paths]
    headers = [image.header for image in images]
    check_readable(headers)
    multiframe = sum(map(is_multiframe, headers))
    if not multiframe:
        return _read_single_frames(images)
    if len(headers) > 1:
        raise GeometryError(
            f"{multiframe} of {len(headers)} instances are multi-frame images; expected one "
            "multi-frame image, or single-frame images only"
        )
    return _read_multiframe(images[0], frames)


def _read_single_frames(images: Sequence[ImageFile]) -> Source:
    order, grid, stack = volume_grid([image.header for image in images])
    ordered = [images[index] for index in order]
    datasets = tuple(image.header for image in ordered)

    def read(k: int) -> tuple[Array, BoolArray | None]:
        with open_frames(ordered[k]) as read_frame:
            return read_frame(0)

    return Source(volume=_fill(grid, datasets, read), datasets=datasets, stack=stack)


def _read_multiframe(image: ImageFile, frames: Sequence[int]) -> Source:
    headers = frame_headers(image.header)
    chosen = [number - 1 for number in frames] or list(range(len(headers)))
    order, grid, stack = volume_grid([headers[frame] for frame in chosen])
    order = [chosen[index] for index in order]
    with open_frames(image) as read_frame:
        volume = _fill(grid, [headers[frame] for frame in order], lambda k: read_frame(order[k]))
    return Source(
        volume=volume,
        datasets=(image.header,),
        frame_numbers=tuple(frame + 1 for frame in order),
        stack=stack,
    )


def _fill(
    grid: Grid,
    headers: Sequence[Dataset],
    read: Callable[[int], tuple[Array, BoolArray | None]],
) -> Volume:
    """Fill the grid by several threads; `headers` in the order of k, `read` by k."""
    whole = all(map(has_whole_values, headers))
    voxels: VoxelArray = (
        np.empty(grid.shape, np.int16) if whole else np.empty(grid.shape, np.float32)
    )
    padding = np.zeros(grid.shape, np.bool_)

    def fill(k: int) -> _Filled:
        stored, mask = read(k)
        fits = fill_modality_values(voxels[k], stored, headers[k])
        if mask is None:
            return fits, False
        padding[k] = mask
        return fits, bool(mask.any())

    found = _each(fill, range(grid.shape[0]))
    padded = any(has_padding for _, has_padding in found)
    if too_wide := [k for k, (fits, _) in enumerate(found) if not fits]:
        voxels = voxels.astype(np.float32)
        _each(fill, too_wide)
    units = {unit_of(header) for header in headers}
    return Volume(
        voxels=voxels,
        grid=grid,
        modality=text(headers[0], "Modality"),
        unit=units.pop() if len(units) == 1 else "1",
        padding=padding if padded else None,
        window=display_window(headers[len(headers) // 2]),
    )


def _each(fill: Callable[[int], _Filled], slices: Sequence[int]) -> list[_Filled]:
    """Call for each slice; the first error, in the order of the slices, ends it."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="slices") as pool:
        try:
            return list(pool.map(fill, slices))
        except BaseException:  # what has not begun would decode a series nobody reads any more
            pool.shutdown(wait=True, cancel_futures=True)
            raise
