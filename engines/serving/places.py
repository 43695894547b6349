"""Backends in order of preference, each asked for only when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from engines import registry
from engines.api import Backend
from engines.errors import BackendUnavailable


@dataclass(frozen=True)
class Place:
    """A backend, where it runs, and why the ones before it do not."""

    backend: Backend
    device: str
    notes: tuple[str, ...]

    @property
    def labels_on_device(self) -> bool:
        """Whether its sessions can take a volume's whole way on the device."""
        return bool(getattr(self.backend, "labels_on_device", False))

    def __str__(self) -> str:
        return f"{self.backend.name} on {self.device}"


class Places:
    """Where packages can run, the preferred place first; safe to ask from several threads.

    Parameters
    ----------
    preferred
        Names of backends, with or without ``@DEVICE``, or backends.
    device
        Where they name none; None: the backend's own.
    threads
        CPU threads a named backend may use.

    Raises
    ------
    BackendUnavailable
        If no backend can run here.
    """

    def __init__(
        self, preferred: Sequence[str | Backend], device: str | None, threads: int
    ) -> None:
        self._device = device
        self._more = registry.candidates(preferred, threads=threads)
        self._found: list[Place] = []
        self._choosing = Lock()
        if self.get(0) is None:
            raise BackendUnavailable("no backend is named")

    def __getitem__(self, number: int) -> Place:
        """Give a place that `get` has given before."""
        return self._found[number]

    def get(self, number: int) -> Place | None:
        """Give a place by its number in the order of preference; None where there is none."""
        with self._choosing:
            while len(self._found) <= number:
                found = next(self._more, None)
                if found is None:
                    return None
                backend, device, notes = found
                device = device or self._device or registry.default_device(backend)
                self._found.append(Place(backend, device, notes))
            return self._found[number]


__all__ = ["Place", "Places"]
