"""A series as the volumes in it: what planning is told by whoever can read the headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from node.domain import Instance, Series


@dataclass(frozen=True)
class VolumeCase:
    """One volume of a series.

    Parameters
    ----------
    instances
        Its images, or the one multi-frame image.
    frames
        Of a multi-frame image the frame numbers, from 1; empty: all of them.
    label
        What tells it from the others of its series; empty where it is alone.
    slices, spacing_mm
        The fields of these names that rules ask about, of this volume alone; None where they
        are those of the series.
    """

    instances: Sequence[Instance]
    frames: tuple[int, ...] = ()
    label: str = ""
    slices: int | None = None
    spacing_mm: float | None = None


Divide: TypeAlias = Callable[[Series], tuple[Sequence[VolumeCase], Sequence[str]]]
"""Gives the volumes of a series, and a sentence for each group of slices that is none."""


def as_one(series: Series) -> tuple[Sequence[VolumeCase], Sequence[str]]:
    """Take a series as one volume."""
    return [VolumeCase(series.instances)], []
