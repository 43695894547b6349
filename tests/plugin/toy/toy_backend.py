"""A backend that needs no model runtime: it answers with its input."""

from __future__ import annotations

from collections.abc import Iterator

from engines.api import Slab, WindowPlan
from engines.package import Package
from engines.types import FloatArray, Tensors


class ToySession:
    """A model that changes nothing."""

    def __init__(self, package: Package) -> None:
        self._given = package.manifest.model.inputs[0].name
        self._wanted = package.manifest.model.outputs[0].name

    def run(self, inputs: Tensors) -> Tensors:
        """Give the input back under the output's name."""
        return {self._wanted: inputs[self._given]}

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> Iterator[Slab]:
        """Give the volume back in one piece."""
        yield Slab(0, volume)

    def close(self) -> None:
        """Nothing is held."""


class ToyBackend:
    """Runs anywhere."""

    name = "toy"

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = threads

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def load(self, package: Package, *, device: str) -> ToySession:
        """Load a package's model."""
        return ToySession(package)
