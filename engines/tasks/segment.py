"""Segmentation: one label per voxel of the source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.api import Prepared
from engines.errors import InferenceError
from engines.grid import Sampling
from engines.package import Package
from engines.tasks.activation import activate
from engines.tasks.image import prepare, route
from engines.tasks.measure import measure
from engines.tasks.morphology import clean
from engines.types import FloatArray, LabelArray, SegmentationResult, Volume

SLAB_VOXELS = 1 << 20
"""Source voxels brought back at once: 4 MiB per array, whatever the number of classes."""

THRESHOLD = np.float32(0.5)
"""Least probability of a label where labels do not compete with a background channel."""


class SegmentTask:
    """Segmentation: one label per voxel of the source."""

    def prepare(self, package: Package, volumes: Sequence[Volume]) -> Prepared:
        """Make the network's input; see `engines.tasks.image.prepare`."""
        return prepare(package, volumes)

    def finish(
        self, package: Package, output: FloatArray, prepared: Prepared, volumes: Sequence[Volume]
    ) -> SegmentationResult:
        """Make a label map on the source grid, cleaned and measured.

        Parameters
        ----------
        package
            Says what the channels mean.
        output
            float32, axes (channel, k, j, i), on `prepared.grid`.
        prepared
            What `prepare` gave.
        volumes
            The same as in `prepare`; measurements are of the first.

        Raises
        ------
        InferenceError
            If the output is not on the prepared grid.
        """
        expected = (package.manifest.model.outputs[0].channels, *prepared.grid.shape)
        if output.shape != expected:
            raise InferenceError(f"the output has shape {output.shape}, expected {expected}")
        way = route(package, volumes[0].grid)
        postprocess = package.manifest.postprocess
        probabilities = activate(output, postprocess.activation)
        competing = postprocess.activation != "sigmoid" and len(probabilities) > 1
        channels = _label_map(probabilities, way.sampling, competing=competing)
        labelmap = np.ascontiguousarray(way.orientation.undo(_named(package, channels)))
        labelmap = clean(labelmap, volumes[0].grid, postprocess.steps)
        found = measure(package, labelmap, volumes[0])
        return SegmentationResult(labelmap, package.labels, found)


def _label_map(probabilities: FloatArray, sampling: Sampling, *, competing: bool) -> LabelArray:
    """Bring probabilities back slab by slab and choose the label of each voxel.

    Parameters
    ----------
    probabilities
        float32, axes (channel, k, j, i), on the canvas of `sampling`.
    sampling
        The way back.
    competing
        True: channel c is label c, 0 is background, the highest wins. False: channel c
        is label c + 1, and the highest wins if it reaches `THRESHOLD`.

    Returns
    -------
    ndarray
        uint8, axes (k, j, i), shape of the sampling's source.
    """
    slices, rows, columns = sampling.source
    labelmap = np.zeros(sampling.source, dtype=np.uint8)
    thickness = max(1, SLAB_VOXELS // (rows * columns))
    first = 0 if competing else 1
    least = np.float32(-np.inf) if competing else np.nextafter(THRESHOLD, np.float32(0))
    for start in range(0, slices, thickness):
        stop = min(start + thickness, slices)
        slab = labelmap[start:stop]
        best = np.full(slab.shape, least)
        for number, channel in enumerate(probabilities):
            values = sampling.backward(channel, start, stop)
            better = values > best
            slab[better] = number + first
            np.copyto(best, values, where=better)
    return labelmap


def _named(package: Package, labelmap: LabelArray) -> LabelArray:
    """Drop channels that the manifest gives no label."""
    table = np.zeros(256, dtype=np.uint8)
    for label in package.labels:
        table[label.value] = label.value
    return table[labelmap]


__all__ = ["SLAB_VOXELS", "THRESHOLD", "SegmentTask"]
