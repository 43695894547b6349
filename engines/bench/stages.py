"""Running a package stage by stage, with a stopwatch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from engines import registry
from engines.api import Prepared, Session, Slab, Task, WindowPlan
from engines.package import Package
from engines.serving.work import infer
from engines.types import FloatArray, Tensors, Volume
from engines.window import sweep

STAGES: Final = ("prepare", "network", "blend", "finish")
"""In order: the network's input; the network itself; placing windows and adding them up; back
to the source grid, the label of each voxel, clean-up and measurements."""


@dataclass(frozen=True)
class Timing:
    """One run of one package.

    Parameters
    ----------
    seconds
        Stage of `STAGES` → wall time, seconds.
    cpu_seconds
        Processor time of the whole run in this process, seconds.
    calls
        How often the network ran.
    """

    seconds: Mapping[str, float]
    cpu_seconds: float
    calls: int

    @property
    def total(self) -> float:
        """Wall time of all stages, seconds."""
        return sum(self.seconds.values())

    @property
    def overhead(self) -> float:
        """Time of everything but the network, as a share of the network's."""
        return (self.total - self.seconds["network"]) / self.seconds["network"]


@dataclass(frozen=True)
class Rounds:
    """All runs of one package on one backend.

    Parameters
    ----------
    backend, device
        What it ran on.
    input_shapes
        Each shape the network was given, and how often in one run.
    timings
        One per round; the warm-up is not among them.
    """

    backend: str
    device: str
    input_shapes: Mapping[tuple[int, ...], int]
    timings: Sequence[Timing]

    def seconds(self, stage: str) -> float:
        """Median wall time of a stage, seconds."""
        return median(timing.seconds[stage] for timing in self.timings)

    @property
    def total(self) -> float:
        """Median wall time of all stages, seconds."""
        return median(timing.total for timing in self.timings)

    @property
    def cpu_seconds(self) -> float:
        """Median processor time, seconds."""
        return median(timing.cpu_seconds for timing in self.timings)

    @property
    def overhead(self) -> float:
        """Median time of everything but the network, as a share of the network's."""
        return median(timing.overhead for timing in self.timings)


class Stopwatch:
    """A session that notes how long the network inside it takes.

    It sweeps by itself, with `engines.window.sweep`, as the backends of the host do.

    Attributes
    ----------
    seconds
        Wall time inside the network since `reset`.
    shapes
        Shapes of the inputs since `reset`, in order.
    """

    def __init__(self, session: Session, given: str, wanted: str) -> None:
        self._session, self._given, self._wanted = session, given, wanted
        self.seconds = 0.0
        self.shapes: list[tuple[int, ...]] = []

    def reset(self) -> None:
        """Begin anew."""
        self.seconds = 0.0
        self.shapes = []

    def run(self, inputs: Tensors) -> Tensors:
        """Run one batch and note its time."""
        start = time.perf_counter()
        outputs = self._session.run(inputs)
        self.seconds += time.perf_counter() - start
        self.shapes += [value.shape for value in inputs.values()]
        return outputs

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> Iterator[Slab]:
        """Run a whole volume (C, k, j, i), window by window, in slabs."""
        return sweep(lambda batch: self.run({self._given: batch})[self._wanted], volume, plan)

    def close(self) -> None:
        """Close the session inside."""
        self._session.close()


class _Pulled:
    """Slabs, and how long it took to get them."""

    def __init__(self, slabs: Iterator[Slab]) -> None:
        self._slabs = slabs
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Slab]:
        return self

    def __next__(self) -> Slab:
        start = time.perf_counter()
        try:
            return next(self._slabs)
        finally:
            self.seconds += time.perf_counter() - start


def measure(
    package: Package,
    volumes: Sequence[Volume],
    *,
    backend: str,
    device: str = "cpu",
    threads: int | None = None,
    rounds: int = 3,
    stopwatch: type[Stopwatch] = Stopwatch,
) -> Rounds:
    """Run a package several times on one backend; the first run is for warming up.

    Parameters
    ----------
    package
        What to run.
    volumes
        One per input channel.
    backend, device, threads
        What to run it on.
    rounds
        Runs that count, at least 1.
    stopwatch
        Says how a volume is swept.

    Raises
    ------
    BackendUnavailable
        If the backend cannot run here.
    PackageError
        If the model cannot be loaded.
    InputError
        If the volumes do not fit the package.
    InferenceError
        If the model fails.
    """
    task = registry.task(package.manifest.model.task)
    session = registry.backend(backend, threads=threads).load(package, device=device)
    model = package.manifest.model
    watch = stopwatch(session, model.inputs[0].name, model.outputs[0].name)
    try:
        _run(package, task, watch, volumes)
        timings = [_run(package, task, watch, volumes) for _ in range(rounds)]
    finally:
        watch.close()
    shapes: dict[tuple[int, ...], int] = {}
    for shape in watch.shapes:
        shapes[shape] = shapes.get(shape, 0) + 1
    return Rounds(backend, device, shapes, timings)


def _run(package: Package, task: Task, watch: Stopwatch, volumes: Sequence[Volume]) -> Timing:
    watch.reset()
    cpu = time.process_time()
    start = time.perf_counter()
    prepared: Prepared = task.prepare(package, volumes)
    ready = time.perf_counter()
    output = infer(package, watch, prepared)
    called = time.perf_counter()
    pulled = None if not isinstance(output, Iterator) else _Pulled(output)
    task.finish(package, output if pulled is None else pulled, prepared, volumes)
    end = time.perf_counter()
    around = called - ready + (pulled.seconds if pulled else 0.0)
    return Timing(
        seconds={
            "prepare": ready - start,
            "network": watch.seconds,
            "blend": around - watch.seconds,
            "finish": end - called - (pulled.seconds if pulled else 0.0),
        },
        cpu_seconds=time.process_time() - cpu,
        calls=len(watch.shapes),
    )


__all__ = ["STAGES", "Rounds", "Stopwatch", "Timing", "measure"]
