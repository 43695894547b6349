"""Running a package with a stopwatch, the way the pool would run it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, cast

from engines import registry
from engines.api import Backend, Box, DeviceTask, Task
from engines.bench.on_device import label
from engines.bench.on_host import Stopwatch, run_on_host
from engines.bench.stages import COARSE, ON_DEVICE, Rounds, Timing
from engines.errors import NotOnDevice
from engines.package import Package
from engines.serving.coarse import CoarsePass
from engines.serving.work import sweeps
from engines.tasks.region import found
from engines.types import Result, SegmentationResult, Volume


class _Pass:
    """One package on one backend, loaded, on the device where that can do all of it."""

    def __init__(
        self, package: Package, backend: Backend, device: str, stopwatch: type[Stopwatch]
    ) -> None:
        self._package = package
        self._task: Task = registry.task(package.manifest.model.task)
        self._session: Any = backend.load(package, device=device)
        model = package.manifest.model
        self._watch = stopwatch(self._session, model.inputs[0].name, model.outputs[0].name)
        able = bool(getattr(backend, "labels_on_device", False)) and sweeps(package, self._task)
        self.way = ON_DEVICE if able else "on the host"

    def run(self, volumes: Sequence[Volume], region: Box | None) -> tuple[Result, Timing]:
        """Run once; what the device cannot do is done on the host from then on."""
        if self.way == ON_DEVICE:
            try:
                return self._on_device(volumes, region)
            except NotOnDevice as error:
                self.way = f"swept on the host: {error}"
        start, cpu = time.perf_counter(), time.process_time()
        result, seconds = run_on_host(self._package, self._task, self._watch, volumes, region)
        return result, Timing(
            seconds,
            total=time.perf_counter() - start,
            cpu_seconds=time.process_time() - cpu,
            network_cpu_seconds=self._watch.cpu_seconds,
            shapes=self._watch.shapes,
        )

    def _on_device(self, volumes: Sequence[Volume], region: Box | None) -> tuple[Result, Timing]:
        task = cast("DeviceTask", self._task)
        start, cpu = time.perf_counter(), time.process_time()
        job = task.device_job(self._package, volumes, region)
        ready = time.perf_counter()
        labels, seconds, shapes = label(self._session, job)
        labelled = time.perf_counter()
        result = task.finish_labels(self._package, labels, job, volumes)
        end = time.perf_counter()
        return result, Timing(
            {**seconds, "finish": ready - start + end - labelled},
            total=end - start,
            cpu_seconds=time.process_time() - cpu,
            network_cpu_seconds=0.0,
            shapes=shapes,
        )

    def close(self) -> None:
        """Close the session."""
        self._watch.close()


def measure(
    package: Package,
    volumes: Sequence[Volume],
    *,
    backend: str | Backend,
    device: str | None = None,
    threads: int | None = None,
    rounds: int = 3,
    coarse: CoarsePass | None = None,
    stopwatch: type[Stopwatch] = Stopwatch,
) -> Rounds:
    """Run a package several times on one backend; the first run is for warming up.

    Parameters
    ----------
    package
        What to run.
    volumes
        One per input channel.
    backend
        What to run it on.
    device, threads
        Where; by default the backend's own device and all cores.
    rounds
        Runs that count, at least 1.
    coarse
        The pass that comes before, a stage of its own; as `engines.serving.coarse.coarse_pass`
        gives it.
    stopwatch
        Says how a volume is swept on the host.

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
    if isinstance(backend, str):
        backend = registry.backend(backend, threads=threads)
    device = device or registry.default_device(backend)
    with ExitStack() as open_:
        fine = open_.enter_context(closing(_Pass(package, backend, device, stopwatch)))
        first = None
        if coarse is not None:
            one = _Pass(coarse.package, backend, device, stopwatch)
            first = open_.enter_context(closing(one))
        _run(fine, first, coarse, volumes)
        timings = [_run(fine, first, coarse, volumes) for _ in range(rounds)]
    return Rounds(backend.name, device, fine.way, timings)


def _run(
    fine: _Pass, first: _Pass | None, coarse: CoarsePass | None, volumes: Sequence[Volume]
) -> Timing:
    """Run both passes, or the only one; where the coarse one finds nothing, there is no other."""
    if first is None or coarse is None:
        return fine.run(volumes, None)[1]
    start = time.perf_counter()
    said, before = first.run(volumes, None)
    region = None
    if isinstance(said, SegmentationResult):
        wanted = coarse.coarse
        region = found(said.labelmap, volumes[0].grid, wanted.labels, wanted.margin_mm)
    passed = time.perf_counter() - start
    if region is None:
        return Timing({COARSE: passed}, passed, before.cpu_seconds, 0.0, ())
    _, timing = fine.run(volumes, region)
    return Timing(
        {COARSE: passed, **timing.seconds},
        total=passed + timing.total,
        cpu_seconds=before.cpu_seconds + timing.cpu_seconds,
        network_cpu_seconds=timing.network_cpu_seconds,
        shapes=timing.shapes,
    )


__all__ = ["measure"]
