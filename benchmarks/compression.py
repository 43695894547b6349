"""What the transfer syntaxes of a profile cost and save: pictures and derived images of a CT.

Processor time of encoding and the size of all files, medians of three, for 41 slices of a
generated CT with noise and 10 labels.

    PYTHONPATH=. python benchmarks/compression.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks.seg_writing import context, labels, phantom, source
from engines.types import Grid, ImageResult, SegmentationResult, Volume
from node.config.profile import TRANSFER_SYNTAXES
from node.domain import ObjectForm, Packing, Source
from node.encode.base import encode
from node.encode.warm import warm_up

SLICES, SIZE, LABELS = 41, 512, 10
ROUNDS = 3


def body() -> np.ndarray:
    """Soft tissue in air, with noise: whole HU as float32, axes (k, j, i)."""
    random = np.random.default_rng(0)
    _, j, i = np.mgrid[:SLICES, :SIZE, :SIZE].astype(np.float32)
    inside = ((j - 256) / 150) ** 2 + ((i - 256) / 200) ** 2 < 1
    tissue = 40 + 300 * np.sin(i / 30) * np.cos(j / 40) + random.normal(0, 12, inside.shape)
    return np.rint(np.where(inside, tissue, -1000)).astype(np.float32)


def scan() -> Source:
    """The headers of `seg_writing` with voxels."""
    whole = source()
    headers = whole.datasets[:SLICES]
    for ds in headers:
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    grid = Grid((SLICES, SIZE, SIZE), whole.volume.grid.affine)
    return Source(Volume(body(), grid, "CT"), headers)


def main() -> None:
    """Print a row for each form and transfer syntax."""
    images = scan()
    first = 150 - SLICES // 2
    labelmap = phantom(LABELS)[first : first + SLICES]
    segments = SegmentationResult(labelmap, labels(LABELS), ())
    made = ImageResult(images.volume.voxels, "Benchmark")
    warm_up()
    print(f"{'form':<14} {'syntax':<9} {'CPU s':>6} {'MB':>7}")
    for form in (ObjectForm.SC_MULTIFRAME, ObjectForm.SC, ObjectForm.DERIVED):
        result = made if form is ObjectForm.DERIVED else segments
        for name, syntax in TRANSFER_SYNTAXES.items():
            packing = Packing(transfer_syntax_uid=syntax)
            seconds = []
            for _ in range(ROUNDS):
                started = time.process_time()
                objects = encode(result, images, context(images), [form], packing=packing)
                size = sum(sum(map(len, one.chunks())) for one in objects)
                seconds.append(time.process_time() - started)
            print(f"{form:<14} {name:<9} {statistics.median(seconds):>6.2f} {size / 1e6:>7.1f}")


if __name__ == "__main__":
    main()
