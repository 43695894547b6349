"""Permuting and flipping axes so that an array lies like the patient."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from engines.errors import InputError
from engines.types import Array, Grid


@dataclass(frozen=True)
class Orientation:
    """A permutation and flips of the axes (k, j, i); it moves voxels and never mixes them.

    Parameters
    ----------
    axes
        For each axis of the result, the axis of the source it comes from.
    flips
        For each axis of the result, whether it runs against the source's axis.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: Array) -> Array:
        """Turn an array (…, k, j, i) on the source's axes; a view, any dtype."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.axes))
        return np.flip(turned, self._flipped(lead))

    def undo(self, array: Array) -> Array:
        """Turn an array (…, k, j, i) back to the source's axes; a view, any dtype."""
        lead = array.ndim - 3
        back = np.argsort(self.axes)
        turned = np.flip(array, self._flipped(lead))
        return turned.transpose(*range(lead), *(lead + int(axis) for axis in back))

    def grid(self, source: Grid) -> Grid:
        """Place the turned array, in the source's frame."""
        affine = source.affine.copy()
        affine[:, :3] = source.affine[:, list(self.axes)]
        shape = [source.shape[axis] for axis in self.axes]
        for axis, flipped in enumerate(self.flips):
            if flipped:
                affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
                affine[:3, axis] *= -1
        return Grid(
            (shape[0], shape[1], shape[2]), affine, source.patient_frame, source.spacing_known
        )

    def _flipped(self, lead: int) -> tuple[int, ...]:
        return tuple(lead + axis for axis, flipped in enumerate(self.flips) if flipped)


IDENTITY = Orientation((0, 1, 2), (False, False, False))


def towards_lps(grid: Grid) -> Orientation:
    """Find the turn after which (k, j, i) run along (+z, +y, +x) of LPS.

    Oblique volumes get the nearest axes: the permutation whose direction cosines sum
    to most, so that no two axes ever take the same direction.

    Parameters
    ----------
    grid
        In the patient frame.

    Returns
    -------
    Orientation
        From the grid's axes to those of LPS.

    Raises
    ------
    InputError
        If the grid has no place in the patient, or its axes do not span space.
    """
    if not grid.patient_frame:
        raise InputError("the model wants patient orientation (LPS); a projection image has none")
    directions = grid.affine[:3, :3]
    lengths = np.linalg.norm(directions, axis=0)
    if not np.all(lengths > 0) or abs(np.linalg.det(directions / lengths)) < 1e-3:
        raise InputError("the axes of the volume do not span space")
    cosines = (directions / lengths)[::-1]  # rows z, y, x; columns k, j, i
    axes = max(permutations(range(3)), key=lambda order: _alignment(cosines, order))
    flips = [bool(cosines[row, axis] < 0) for row, axis in enumerate(axes)]
    return Orientation((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def _alignment(cosines: Array, order: tuple[int, ...]) -> float:
    return float(sum(abs(cosines[row, axis]) for row, axis in enumerate(order)))


__all__ = ["IDENTITY", "Orientation", "towards_lps"]
