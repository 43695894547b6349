"""As much of the NRRD format as ITK writes for a segmentation."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES = {"unsigned char": "u1", "uint8": "u1", "short": "<i2", "unsigned short": "<u2"}


@dataclass(frozen=True)
class NrrdImage:
    """Voxels, axes (k, j, i), and the affine from (k, j, i, 1) to LPS mm."""

    voxels: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]


def read_nrrd(path: Path) -> NrrdImage:
    """Read an attached-header NRRD file, raw or gzip, LPS."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(
        line.split(": ", 1) for line in header.decode("ascii").splitlines() if ": " in line
    )
    assert fields["space"] == "left-posterior-superior"
    data = gzip.decompress(body) if fields["encoding"] == "gzip" else body
    sizes = [int(size) for size in fields["sizes"].split()]
    voxels = np.frombuffer(data, dtype=_TYPES[fields["type"]]).reshape(sizes[::-1])
    vectors = [_vector(text) for text in fields["space directions"].split()]
    affine = np.eye(4)
    affine[:3, :3] = np.array(vectors[::-1]).T
    affine[:3, 3] = _vector(fields["space origin"])
    return NrrdImage(voxels, affine)


def _vector(text: str) -> list[float]:
    return [float(number) for number in text.strip("()").split(",")]
