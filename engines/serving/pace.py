"""How long a package takes here, from how long it took before."""

from __future__ import annotations

from collections import deque
from statistics import median
from threading import Lock

REMEMBERED = 15
"""Runs of a package that count: enough for a median, and soon those of another load are gone."""


class Pace:
    """Time per voxel of each package's last runs; safe to use from several threads.

    It is kept in memory only: after a start nothing is known.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, deque[float]]] = {}
        self._changing = Lock()

    def note(self, package: str, place: str, voxels: int, seconds: float) -> None:
        """Remember a run; what is known of another place is forgotten.

        Parameters
        ----------
        package
            Digest of the package.
        place
            Backend and device.
        voxels
            Of the image.
        seconds
            Time inside the model.
        """
        with self._changing:
            before, runs = self._known.get(package, ("", deque[float]()))
            if before != place:
                runs = deque(maxlen=REMEMBERED)
                self._known[package] = (place, runs)
            runs.append(seconds / voxels)

    def expected_s(self, package: str, voxels: int) -> float | None:
        """Estimate the time inside the model for an image, seconds; None after no run."""
        with self._changing:
            _, runs = self._known.get(package, ("", deque[float]()))
            return median(runs) * voxels if runs else None


__all__ = ["REMEMBERED", "Pace"]
