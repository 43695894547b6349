"""One lane: warm models on one device, one at a time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from engines import registry
from engines.api import Prepared, Session, WindowPlan
from engines.errors import BackendUnavailable, EngineError, NotApplicable, PackageError
from engines.package import Package
from engines.types import ClassificationResult, FloatArray, Provenance, Result, Volume

CPU_OVERLAP = 0.25
"""Largest overlap of windows on a CPU for packages with ``runtime.cpu: fast-only``."""


class Pool:
    """Runs model packages on one device and keeps their sessions warm.

    Safe to call from several threads: preparing and finishing run side by side, the
    device serves one call at a time.

    Parameters
    ----------
    models_dir
        Folder of package folders; read once. A new pool sees what has changed.
    backend
        Name of the backend.
    device
        Such as ``"cpu"``.
    threads
        CPU threads the backend may use; all cores by default.
    keep
        Sessions kept loaded; the one unused for longest goes first.

    Raises
    ------
    BackendUnavailable
        If the backend cannot run here.
    PackageError
        If `models_dir` is not a folder. Bad packages in it raise only when they are run.
    """

    def __init__(
        self,
        models_dir: Path,
        backend: str = "onnx",
        device: str = "cpu",
        threads: int | None = None,
        *,
        keep: int = 4,
    ) -> None:
        self._catalogue = registry.packages(models_dir)
        self._backend = registry.backend(backend, threads=threads)
        self._device = device
        self._keep = max(1, keep)
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lane = threading.Lock()
        self._closed = False

    @property
    def catalogue(self) -> registry.Catalogue:
        """The packages this pool can run, and what is wrong with the others."""
        return self._catalogue

    def run(
        self, name: str, version: str | None, volumes: Sequence[Volume]
    ) -> tuple[Result, Provenance]:
        """Run one model over one image.

        Parameters
        ----------
        name, version
            The package; without a version, the newest.
        volumes
            One per input channel, all on one grid.

        Returns
        -------
        result : Result
            On the grid of the first volume.
        provenance : Provenance
            What made it; the time is that inside the model.

        Raises
        ------
        PackageError
            If there is no such package, or its model cannot be loaded.
        BackendUnavailable
            If the package does not allow this device.
        NotApplicable
            If the package's gate refuses the image.
        InputError
            If the volumes do not fit the package.
        InferenceError
            If the model fails.
        """
        package = self._catalogue.get(name, version)
        self._pass_gate(package, volumes)
        return self._run(package, volumes)

    def _run(self, package: Package, volumes: Sequence[Volume]) -> tuple[Result, Provenance]:
        task = registry.task(package.manifest.model.task)
        notes = self._check_device(package)
        prepared = task.prepare(package, volumes)
        if notes and prepared.window:
            prepared = replace(prepared, window=_faster(prepared.window))
        with self._lane:
            session = self._session(package)
            start = time.perf_counter()
            output = infer(package, session, prepared)
            seconds = time.perf_counter() - start
        result = task.finish(package, output, prepared, volumes)
        return result, self._provenance(package, seconds, notes)

    def _pass_gate(self, package: Package, volumes: Sequence[Volume]) -> None:
        """Ask the package's classifier, if it has one, whether the image is for this model."""
        gate = package.manifest.gate
        if gate is None:
            return
        # Not `run`: a gate has no gate, so two packages cannot wait for each other.
        said, by = self._run(self._catalogue.get(gate.package), volumes)
        if not isinstance(said, ClassificationResult):
            raise PackageError(f"gate {gate.package} of {package.name} is no classifier")
        if said.predicted in gate.refuse:
            sure = next(s.probability for s in said.scores if s.name == said.predicted)
            raise NotApplicable(
                f"{by.model} {by.version} says {said.predicted} (probability {sure:.2f}), which "
                f"{package.name} does not read"
            )

    def preload(self, names: Iterable[str]) -> None:
        """Load the newest version of each package now rather than at its first run."""
        for name in names:
            package = self._catalogue.get(name)
            self._check_device(package)
            with self._lane:
                self._session(package)

    def close(self) -> None:
        """Close every session; the pool cannot be used after it."""
        with self._lane:
            self._closed = True
            while self._sessions:
                _, session = self._sessions.popitem()
                session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _session(self, package: Package) -> Session:
        """Give the package's session, loaded if it is not warm; call with the lane held."""
        if self._closed:
            raise EngineError("the pool is closed")
        if package.digest not in self._sessions:
            # Before loading, so that a device with room for `keep` models is enough.
            while len(self._sessions) >= self._keep:
                _, oldest = self._sessions.popitem(last=False)
                oldest.close()
            self._sessions[package.digest] = self._backend.load(package, device=self._device)
        self._sessions.move_to_end(package.digest)
        return self._sessions[package.digest]

    def _provenance(self, package: Package, seconds: float, notes: tuple[str, ...]) -> Provenance:
        return Provenance(
            model=package.name,
            version=package.version,
            weights_sha256=package.manifest.model.sha256,
            backend=self._backend.name,
            device=self._device,
            seconds=seconds,
            notes=notes,
        )

    def _check_device(self, package: Package) -> tuple[str, ...]:
        """Apply ``runtime.cpu``; returns what the result's provenance must say about it."""
        policy = package.manifest.runtime.cpu
        if self._device != "cpu" or policy == "allowed":
            return ()
        if policy == "never":
            raise BackendUnavailable(f"{package.name} does not allow the CPU (runtime.cpu: never)")
        infer_ = package.manifest.infer
        overlap = 0.5 if infer_.overlap is None else infer_.overlap
        if infer_.mode != "sliding_window" or overlap <= CPU_OVERLAP:
            return ()
        return (f"windows overlap by {CPU_OVERLAP} instead of {overlap} on the CPU",)


def infer(package: Package, session: Session, prepared: Prepared) -> FloatArray:
    """Run a loaded model over prepared input, the way the package says.

    Parameters
    ----------
    package
        Says whether the graph sees two or three axes, and how many slices per call.
    session
        Its model.
    prepared
        Tensor with axes (channel, k, j, i).

    Returns
    -------
    ndarray
        float32: axes (channel, k, j, i), or (channel,) where the graph answers for the
        whole image.
    """
    if prepared.window is not None:
        return session.sweep(prepared.tensor, prepared.window)
    model = package.manifest.model
    given, wanted = model.inputs[0].name, model.outputs[0].name
    if model.ndim == 3:
        whole: FloatArray = session.run({given: prepared.tensor[np.newaxis]})[wanted][0]
        return whole
    slices = prepared.tensor.swapaxes(0, 1)
    size = package.manifest.infer.batch
    parts = [
        session.run({given: slices[start : start + size]})[wanted]
        for start in range(0, len(slices), size)
    ]
    output: FloatArray = np.concatenate(parts)
    return output[0] if output.ndim == 2 else output.swapaxes(0, 1)


def _faster(window: WindowPlan) -> WindowPlan:
    return replace(window, overlap=min(window.overlap, CPU_OVERLAP))


__all__ = ["CPU_OVERLAP", "Pool", "infer"]
