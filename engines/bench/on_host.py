"""A sweep on the host, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import cast

from engines.api import Box, RegionTask, Session, Slab, Task, WindowPlan
from engines.package import Package
from engines.serving.work import infer
from engines.stages import counted
from engines.types import FloatArray, Result, Tensors, Volume
from engines.window import sweep


class Stopwatch:
    """A session that notes how long the network inside it takes.

    It sweeps by itself, with `engines.window.sweep`, as the backends of the host do.

    Attributes
    ----------
    seconds, cpu_seconds
        Time inside the network since `reset`: on the wall, and of the processor.
    shapes
        Shapes of the inputs since `reset`, in order.
    """

    def __init__(self, session: Session, given: str, wanted: str) -> None:
        self._session, self._given, self._wanted = session, given, wanted
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.seconds = self.cpu_seconds = 0.0
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs: Tensors) -> Tensors:
        """Run one batch and note its time."""
        start, cpu = time.perf_counter(), time.process_time()
        outputs = self._session.run(inputs)
        self.cpu_seconds += time.process_time() - cpu
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


def run_on_host(
    package: Package, task: Task, watch: Stopwatch, volumes: Sequence[Volume], region: Box | None
) -> tuple[Result, dict[str, float]]:
    """Run a package once; gives the result and each stage's time on the wall, seconds."""
    watch.reset()
    start = time.perf_counter()
    if region is None:
        prepared = task.prepare(package, volumes)
    else:
        prepared = cast("RegionTask", task).prepare(package, volumes, region)
    ready = time.perf_counter()
    output = infer(package, watch, prepared)
    called = time.perf_counter()
    pulled = None if not isinstance(output, Iterator) else _Pulled(output)
    with counted() as inside:
        result = task.finish(package, output if pulled is None else pulled, prepared, volumes)
    end = time.perf_counter()
    sweeping = pulled.seconds if pulled else 0.0
    seconds = {
        "prepare": ready - start,
        "infer": watch.seconds,
        **inside,
        "finish": end - called - sweeping - sum(inside.values()),
    }
    around = called - ready + sweeping - watch.seconds
    if pulled is not None:
        return result, {**seconds, "blend": around}
    return result, {**seconds, "prepare": seconds["prepare"] + around}


__all__ = ["Stopwatch", "run_on_host"]
