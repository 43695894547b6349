"""The images that ``wetread models bench`` measures with: files for the reader of the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from engines.bench.phantom import phantom
from engines.package import Package
from engines.types import Grid, Volume
from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.work.straight import regular_volume

INTERCEPT = -1024
"""Of the synthetic images: 12 bits from there on, as most CT scanners write them."""


def decoded(
    package: Package, paths: Sequence[Path], rounds: int
) -> tuple[tuple[Volume, ...], float]:
    """Decode the files of one series as the node does, once for each input channel.

    Parameters
    ----------
    package
        Says how many channels there are, and whether they are single images.
    paths
        DICOM files (PS3.10).
    rounds
        Times that count, after one to warm up.

    Returns
    -------
    volumes
        One for each channel.
    seconds
        Median time of reading and decoding all of them, seconds.

    Raises
    ------
    NodeError
        If the files are no image, or no volume.
    """
    read: Callable[[], Volume] = (
        (lambda: read_image(paths[0]).volume)
        if takes_one_image(package)
        else (lambda: regular_volume(read_series(paths)))
    )
    channels = package.manifest.model.inputs[0].channels
    volumes, times = tuple(read() for _ in channels), []
    for _ in range(rounds):
        start = time.perf_counter()
        volumes = tuple(read() for _ in channels)
        times.append(time.perf_counter() - start)
    return volumes, median(times)


def takes_one_image(package: Package) -> bool:
    """Whether a package is for radiographs and other single images."""
    return package.manifest.model.ndim == 2 and package.manifest.infer.mode == "whole"


def write_phantom(package: Package, shape: tuple[int, int, int], folder: Path) -> list[Path]:
    """Write a synthetic trunk, uncompressed: a CT series, or one image where the package takes one.

    Parameters
    ----------
    package
        What it is for.
    shape
        Slices, rows and columns; of a single image only the last two count.
    folder
        Where the files are written.

    Returns
    -------
    list of Path
        In the order of the slices.
    """
    single = takes_one_image(package)
    volume = phantom(package, (1, *shape[1:]) if single else shape)[0]
    series = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    if not single:
        series["FrameOfReferenceUID"] = generate_uid()
    paths = []
    for k in range(volume.grid.shape[0]):
        dataset = _slice(volume, k)
        for keyword, uid in series.items():
            setattr(dataset, keyword, uid)
        if not single:
            _place(dataset, volume.grid, k)
        paths.append(folder / f"{k:05}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def _slice(volume: Volume, k: int) -> Dataset:
    dataset = Dataset()
    ct = volume.modality == "CT"
    dataset.SOPClassUID = CTImageStorage if ct else DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "CT" if ct else "DX"
    dataset.InstanceNumber = k + 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    _, dataset.Rows, dataset.Columns = volume.grid.shape
    dataset.PixelSpacing = list(volume.grid.spacing_mm[1:])
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope = INTERCEPT, 1
    stored = np.clip(np.rint(volume.voxels[k]) - INTERCEPT, 0, 4095)
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _place(dataset: Dataset, grid: Grid, k: int) -> None:
    position = grid.affine @ np.array([k, 0, 0, 1])
    dataset.ImagePositionPatient = position[:3].tolist()
    _, down, across = (grid.affine[:3, axis] for axis in range(3))
    directions = [across / np.linalg.norm(across), down / np.linalg.norm(down)]
    dataset.ImageOrientationPatient = np.concatenate(directions).tolist()
    dataset.SliceThickness = grid.spacing_mm[0]


__all__ = ["decoded", "takes_one_image", "write_phantom"]
