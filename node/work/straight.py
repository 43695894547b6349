"""Models see regular grids; a result goes back to the slices as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engines.grid import Stack
from engines.types import ClassificationResult, Result, SegmentationResult, Volume
from node.domain import Source
from node.errors import GeometryError


def regular_volume(source: Source) -> Volume:
    """Give the volume of a source on a regular grid: its own, unless the slices lean or vary."""
    return source.volume if source.stack is None else source.stack.straighten(source.volume)


def on_slices(result: Result, stack: Stack | None) -> Result:
    """Bring a result of `regular_volume` back to the slices of its source.

    Measurements stay those of the regular grid, whose voxels are all of one size; those of a
    label that is nowhere on the slices are dropped.

    Raises
    ------
    GeometryError
        If it is a result of another package, for which no way back is known.
    """
    if stack is None or isinstance(result, ClassificationResult):
        return result
    if not isinstance(result, SegmentationResult):
        raise GeometryError(
            f"the slices lean or are unevenly spaced, and a {type(result).__name__} cannot be "
            "brought back to them"
        )
    found = replace(result, labelmap=stack.to_slices(result.labelmap))
    if result.probabilities is not None:
        back = [stack.to_slices(each) for each in result.probabilities]
        found = replace(found, probabilities=np.stack(back))
    counts = found.voxel_counts
    kept = tuple(one for one in result.measurements if counts[one.label])
    return replace(found, measurements=kept)
