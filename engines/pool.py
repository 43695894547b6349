"""One lane: warm models on one device, one at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engines.api import Backend, Progress
from engines.catalogue import Catalogue, packages
from engines.errors import NotApplicable, PackageError
from engines.package import Package
from engines.serving.coarse import coarse_pass
from engines.serving.lane import Lane
from engines.serving.pace import Pace
from engines.serving.places import Places
from engines.serving.runner import Runner, Turn
from engines.serving.warm import Warm, machine_memory_mb
from engines.types import ClassificationResult, Provenance, Result, Volume


class Pool:
    """Runs model packages and keeps their sessions warm.

    Safe to call from several threads: preparing and finishing run side by side, the model
    itself in as many lanes as there are. Whoever waits for a lane is served by priority.

    Where the backend and the package allow it, the whole sweep is done on the device; the
    result's provenance says whether it was, and if not, why.

    A run that fails is tried again where that can help: with a smaller batch where memory is
    short, then with the sweep on the host, in float32 where the output of a reduced precision is
    not finite, and then with the next backend. What was tried is in the result's provenance, and
    what memory has forced, or a missing part, is kept for the package's next runs.

    Parameters
    ----------
    models_dir
        Folder of package folders; read once. A new pool sees what has changed.
    backend
        A name, ``"NAME@DEVICE"``, or a backend; or several, the preferred one first.
    device
        Such as ``"cpu"``, where the backend names none; None: the backend's own.
    threads
        CPU threads of each lane; all cores shared equally by default.
    memory_mb
        What loaded models may take together, MiB; on a CPU by default half of the machine's
        memory, on another device as much as it has.
    lanes
        Models that run at the same time on a CPU. Any other device has one lane.

    Raises
    ------
    BackendUnavailable
        If no backend can run here.
    PackageError
        If `models_dir` is not a folder. Bad packages in it raise only when they are run.
    """

    def __init__(
        self,
        models_dir: Path,
        backend: str | Backend | Sequence[str | Backend] = "onnx",
        device: str | None = None,
        threads: int | None = None,
        *,
        memory_mb: int | None = None,
        lanes: int = 1,
    ) -> None:
        self._catalogue = packages(models_dir)
        preferred = (
            backend
            if isinstance(backend, Sequence) and not isinstance(backend, str)
            else (backend,)
        )
        threads = threads or max(1, (os.cpu_count() or 1) // lanes)
        self._places = Places(preferred, device, threads)
        on_cpu = self._places[0].device == "cpu"
        self._warm = Warm(memory_mb or (machine_memory_mb() // 2 if on_cpu else None))
        self._lane = Lane(lanes if on_cpu else 1)
        self._runner = Runner(self._places, self._warm, self._lane)
        self._pace = Pace()

    @property
    def catalogue(self) -> Catalogue:
        """The packages this pool can run, and what is wrong with the others."""
        return self._catalogue

    @property
    def backend(self) -> str:
        """Where packages run first, such as ``"onnx on cpu"``."""
        return str(self._places[0])

    @property
    def notes(self) -> tuple[str, ...]:
        """Why preferred backends do not run here, one each."""
        return self._places[0].notes

    @property
    def waiting(self) -> int:
        """How many runs wait for a lane now."""
        return self._lane.waiting

    def run(
        self,
        name: str,
        version: str | None,
        volumes: Sequence[Volume],
        *,
        priority: int = 0,
        due: float = math.inf,
    ) -> tuple[Result, Provenance]:
        """Run one model over one image.

        Parameters
        ----------
        name, version
            The package; without a version, the newest.
        volumes
            One per input channel, all on one grid.
        priority
            Higher goes first where several wait.
        due
            When the result should be there; of one priority the earlier goes first, equals in
            order of arrival. Only compared.

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
            If the package allows none of the devices.
        NotApplicable
            If the package's gate refuses the image.
        InputError
            If the volumes do not fit the package.
        DeviceLost
            If the device's context is broken; so is this pool then: end the process.
        Timeout
            If the run takes longer than the package's ``runtime.timeout_s``, its waiting for
            a lane not counted.
        InferenceError
            If the model fails.
        """
        package = self._catalogue.get(name, version)
        turn = (priority, due)
        self._pass_gate(package, volumes, turn)
        first = coarse_pass(package, self._catalogue)
        if first is None or not volumes:
            result, by = self._runner.run(package, volumes, turn)
        else:
            result, by = first.then(
                package,
                volumes[0],
                lambda each, region: self._runner.run(each, volumes, turn, region),
            )
        if volumes:
            place = f"{by.backend} on {by.device}"
            self._pace.note(package.digest, place, volumes[0].voxels.size, by.seconds)
        return result, by

    def expected_s(self, name: str, version: str | None, volumes: Sequence[Volume]) -> float | None:
        """Estimate how long a run would be inside the model, seconds.

        It is the median of the package's last runs in this pool, for each voxel of the image.
        None: it has not run yet.

        Raises
        ------
        PackageError
            If there is no such package.
        """
        digest = self._catalogue.get(name, version).digest
        return self._pace.expected_s(digest, sum(volume.voxels.size for volume in volumes[:1]))

    def make_ready(self, names: Iterable[str], progress: Progress) -> Iterator[tuple[str, str]]:
        """Do what loading the newest version of each package would wait for too long.

        To be called once, at start-up, before `preload`: TensorRT plans that are missing are
        built, which takes minutes.

        Parameters
        ----------
        names
            Packages.
        progress
            Told how far it is; the phase begins with the package's name.

        Yields
        ------
        name, problem : str
            What could not be done; the package runs otherwise or elsewhere then.
        """
        place = self._places[0]
        make_ready = getattr(place.backend, "make_ready", None)
        if make_ready is None:
            return
        for name in names:
            package = self._catalogue.get(name)

            def tell(phase: str, done: int, steps: int, of: str = name) -> None:
                progress(f"{of} {phase}", done, steps)

            for problem in make_ready(package, device=place.device, progress=tell):
                yield name, problem

    def preload(self, names: Iterable[str]) -> None:
        """Load the newest version of each package now rather than at its first run."""
        for name in names:
            self._runner.load(self._catalogue.get(name))

    def close(self) -> None:
        """Close every session; the pool cannot be used after it."""
        self._warm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pass_gate(self, package: Package, volumes: Sequence[Volume], turn: Turn) -> None:
        """Ask the package's classifier, if it has one, whether the image is for this model."""
        gate = package.manifest.gate
        if gate is None:
            return
        # Not `run`: a gate has no gate, so two packages cannot wait for each other.
        said, by = self._runner.run(self._catalogue.get(gate.package), volumes, turn)
        if not isinstance(said, ClassificationResult):
            raise PackageError(f"gate {gate.package} of {package.name} is no classifier")
        if said.predicted in gate.refuse:
            sure = next(s.probability for s in said.scores if s.name == said.predicted)
            raise NotApplicable(
                f"{by.model} {by.version} says {said.predicted} (probability {sure:.2f}), which "
                f"{package.name} does not read"
            )


__all__ = ["Pool"]
