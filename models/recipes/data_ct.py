"""Chest, abdomen and head CT volumes inside public packages, and lung labels for them.

Volumes are float32 Hounsfield units with axes along +z (to the head), +y (to the back) and +x (to
the patient's left) of the LPS frame, which is the orientation the engine gives to the network.
"""

from __future__ import annotations

import plistlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nibabel as nib
import nrrd
import numpy as np
import pydicom
from preprocess import keep_largest, resample
from scipy import ndimage
from sources import LUNGS_3D, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

RIGHT, LEFT = 1, 2
"""Label values: the patient's right lung (low x), the patient's left lung (high x)."""

AIR_HU = -1024.0

CHESTS = frozenset({"pyradiomics-lung1", "pyradiomics-lung2", "totalsegmentator-cta"})
"""Training scans that show lungs."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One CT volume.

    Attributes
    ----------
    name
        Short name; one scan is one patient.
    volume
        Hounsfield units, ``(z, y, x)``.
    spacing
        mm, ``(z, y, x)``.
    labels
        0, `RIGHT`, `LEFT` on the same grid; None where unknown.
    """

    name: str
    volume: NDArray[np.float32]
    spacing: tuple[float, float, float]
    labels: NDArray[np.uint8] | None = None

    def resampled(self, spacing: float) -> Scan:
        """Return the scan at an isotropic spacing in mm, linearly."""
        shape = [
            max(1, round(count * have / spacing))
            for count, have in zip(self.volume.shape, self.spacing, strict=True)
        ]
        labels = None if self.labels is None else resample_labels(self.labels, shape)
        volume = resample(self.volume, shape)
        return Scan(self.name, volume, (spacing,) * 3, labels)


def resample_labels(labels: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Resample a label map to a shape, label by label."""
    shares = np.stack([resample((labels == v).astype(np.float32), shape) for v in (RIGHT, LEFT)])
    inside = shares.max(axis=0) > 0.5
    return np.where(inside, shares.argmax(axis=0) + 1, 0).astype(np.uint8)


def read_nifti(path: Path) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Read a NIfTI volume and its spacing, turned to ``(z, y, x)`` of the LPS frame."""
    image = nib.as_closest_canonical(nib.load(path))
    x, y, z = (float(step) for step in image.header.get_zooms()[:3])
    volume = np.asarray(image.dataobj, dtype=np.float32)
    return np.ascontiguousarray(volume[::-1, ::-1].transpose(2, 1, 0)), (z, y, x)


def read_series(folder: Path) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Read an axial DICOM CT series and its spacing, ``(z, y, x)`` of the LPS frame."""
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    slices = [ds for ds in slices if ds.get("Modality") == "CT"]
    slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    volume = np.stack(
        [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices]
    )
    gap = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    rows, columns = (float(step) for step in slices[0].PixelSpacing)
    return volume.astype(np.float32), (gap, rows, columns)


def read_head(data: Path) -> Scan:
    """Head CT of invesalius-examples, a scan without lung."""
    folder = unpack(data, "invesalius-examples") / "usr/share/doc/invesalius-examples/examples"
    extracted = folder / "Cranium"
    if not extracted.is_dir():
        shutil.unpack_archive(folder / "Cranium.inv3", extracted, "gztar", filter="data")
    project = plistlib.loads(next(extracted.rglob("main.plist")).read_bytes())
    matrix = project["matrix"]
    values = np.fromfile(next(extracted.rglob(matrix["filename"])), dtype=matrix["dtype"])
    volume = values.reshape(matrix["shape"]).astype(np.float32)
    x, y, z = (float(step) for step in project["spacing"])
    return Scan("invesalius-cranium", volume, (z, y, x))


def read_volumes(data: Path) -> list[Scan]:
    """Read the six training scans as they are stored: three chests, then three without lung."""
    folder = unpack(data, "pyradiomics-3.0.1") / "pyradiomics-3.0.1" / "data"
    scans = []
    for name in ("lung1", "lung2"):
        values, header = nrrd.read(str(folder / f"{name}_image.nrrd"))
        x, y, z = (float(np.linalg.norm(step)) for step in header["space directions"])
        volume = np.ascontiguousarray(values.transpose(2, 1, 0), dtype=np.float32)
        scans.append(Scan(f"pyradiomics-{name}", volume, (z, y, x)))
    folder = total_folder(data)
    stored = {
        "totalsegmentator-cta": read_nifti(folder / "aorta_report" / "example_ct.nii.gz"),
        "totalsegmentator-abdomen": read_nifti(folder / "example_ct.nii.gz"),
        "totalsegmentator-dicom": read_series(folder / "example_ct_dicom"),
    }
    scans += [Scan(name, *volume) for name, volume in stored.items()]
    return [*scans, read_head(data)]


def read_training(data: Path) -> list[Scan]:
    """Read the training scans at 2 mm with labels: computed in the chests, empty elsewhere."""
    labelled = []
    for scan in read_volumes(data):
        coarse = scan.resampled(2.0)
        if scan.name in CHESTS:
            tumour = read_tumour(data, scan.name, coarse.volume.shape)
            labels = label_lungs(coarse.volume, tumour)
        else:
            labels = np.zeros(coarse.volume.shape, dtype=np.uint8)
        labelled.append(Scan(coarse.name, coarse.volume, coarse.spacing, labels))
    return labelled


def read_tumour(data: Path, name: str, shape: Sequence[int]) -> NDArray[np.bool_] | None:
    """Tumour mask of a pyradiomics scan, resampled to a shape; None for other scans."""
    stem, _, short = name.partition("-")
    if stem != "pyradiomics":
        return None
    folder = unpack(data, "pyradiomics-3.0.1") / "pyradiomics-3.0.1" / "data"
    values, _ = nrrd.read(str(folder / f"{short}_label.nrrd"))
    return resample(values.transpose(2, 1, 0).astype(np.float32), shape) > 0.5


def total_folder(data: Path) -> Path:
    """Folder of the reference files in the TotalSegmentator source archive."""
    root = unpack(data, "totalsegmentator-2.18.0")
    return root / "totalsegmentator-2.18.0" / "tests" / "reference_files"


def read_held_out(data: Path) -> list[Scan]:
    """Four chest CTs with lung masks drawn by others; never trained on, never shown."""
    scans = []
    for path in sorted((data / LUNGS_3D / "Demo").glob("id00?-128x128x64.nii.gz")):
        volume, spacing = read_nifti(path)
        mask, _ = read_nifti(path.with_name(path.name.replace("x64.", "x64-msk.")))
        lungs = mask > 127
        scans.append(Scan(path.name[:5], volume, spacing, split_lungs(lungs, sides(lungs))))
    return scans


def sides(lungs: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Seeds of the right and the left lung: the two largest pieces after the least erosion.

    Raises
    ------
    ValueError
        If no erosion makes two large pieces.
    """
    core = lungs
    for _ in range(8):
        pieces, _ = ndimage.label(core)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        first, second = np.argsort(sizes)[::-1][:2]
        if sizes[second] > 0.25 * sizes[first]:
            seeds = np.zeros(lungs.shape, dtype=np.uint8)
            low, high = sorted(
                (first, second), key=lambda piece: ndimage.center_of_mass(pieces == piece)[2]
            )
            seeds[pieces == low] = RIGHT
            seeds[pieces == high] = LEFT
            return seeds
        core = ndimage.binary_erosion(core)
    message = "the lungs do not come apart"
    raise ValueError(message)


def split_lungs(lungs: NDArray[np.bool_], seeds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give every lung voxel the label of the nearest seed."""
    nearest = ndimage.distance_transform_edt(
        seeds == 0, return_distances=False, return_indices=True
    )
    return np.where(lungs, seeds[tuple(nearest)], 0).astype(np.uint8)


def label_lungs(
    volume: NDArray[np.float32], extra: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Label the lungs of a chest CT by threshold and morphology.

    Trachea and main bronchi are left out; vessels inside the lungs are taken in.

    Parameters
    ----------
    volume
        Hounsfield units at 2 mm, ``(z, y, x)``.
    extra
        Tumour inside the lungs that the threshold misses.

    Returns
    -------
    numpy.ndarray
        0, `RIGHT`, `LEFT`.
    """
    air = volume < -400
    for plane in air:
        pieces, _ = ndimage.label(plane)
        rim = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
        plane[np.isin(pieces, np.unique(rim[rim > 0]))] = False
    airway = _airway(volume, air)
    lungs = ndimage.binary_opening(air & ~airway)
    seeds = sides(lungs)
    split = split_lungs(lungs, seeds)
    ball = ndimage.distance_transform_edt(np.pad(np.zeros((1, 1, 1)), 3, constant_values=1)) <= 2.5
    labels = np.zeros(volume.shape, dtype=np.uint8)
    for value in (RIGHT, LEFT):
        lung = split == value
        if extra is not None:
            touched, _ = ndimage.label(extra)
            near = np.unique(touched[ndimage.binary_dilation(lung, iterations=2) & extra])
            lung |= np.isin(touched, near[near > 0])
        padded = np.pad(lung, 4)
        closed = ndimage.binary_closing(padded, ball)[4:-4, 4:-4, 4:-4]
        closed = np.stack([ndimage.binary_fill_holes(plane) for plane in closed])
        labels[closed & ~airway & (labels == 0)] = value
    return keep_largest(labels, values=(RIGHT, LEFT))


def _airway(volume: NDArray[np.float32], air: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Trachea and main bronchi: smooth, nearly pure air connected to the top of the trachea."""
    pure = (ndimage.gaussian_filter(volume, 1.0) < -930) & air
    pieces, count = ndimage.label(pure)
    if count == 0:
        return np.zeros_like(air)
    highest = ndimage.maximum(np.indices(air.shape)[0], pieces, range(1, count + 1))
    sizes = np.bincount(pieces.ravel())[1:]
    tall = np.where(sizes > 200, highest, -1)
    trachea = pieces == int(np.argmax(tall)) + 1
    return ndimage.binary_dilation(trachea, iterations=2) & air
