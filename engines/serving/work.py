"""The work of one run: what is got ready, what the model does, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, cast

import numpy as np

from engines.api import (
    Box,
    DeviceJob,
    DeviceTask,
    Prepared,
    RegionTask,
    Session,
    Slab,
    Task,
)
from engines.errors import NotOnDevice
from engines.package import Package
from engines.serving.watch import Watched
from engines.types import FloatArray, Result, Volume


class Work(Protocol):
    """A run that is ready for its model."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the result's provenance must say about the way."""
        ...

    def run(self, session: Watched, leave: Callable[[], None]) -> Result:
        """Run the model and make the result.

        Parameters
        ----------
        session
            The package's model.
        leave
            Called when the model is done; what is left to do needs no device.
        """
        ...


class HostWork:
    """The model's input is made on the host, and its output read there."""

    def __init__(
        self,
        task: Task,
        package: Package,
        volumes: Sequence[Volume],
        prepared: Prepared,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._task, self._package, self._volumes = task, package, volumes
        self._prepared, self.notes = prepared, notes

    def run(self, session: Watched, leave: Callable[[], None]) -> Result:
        """Run the model whole, slice by slice or window by window."""
        output = infer(self._package, session, self._prepared)
        # A sweep computes while its slabs are read: the session says when it is done.
        if self._prepared.window is None:
            leave()
        return self._task.finish(self._package, output, self._prepared, self._volumes)


class DeviceWork:
    """The device has the volumes from the stored voxels to the labels."""

    notes = ("swept on the device",)

    def __init__(
        self, task: DeviceTask, package: Package, volumes: Sequence[Volume], job: DeviceJob
    ) -> None:
        self._task, self._package, self._volumes, self._job = task, package, volumes, job

    def run(self, session: Watched, leave: Callable[[], None]) -> Result:
        """Have the device label the volumes."""
        labels = session.label(self._job)
        leave()
        return self._task.finish_labels(self._package, labels, self._job, self._volumes)


def sweeps(package: Package, task: Task) -> bool:
    """Whether a device could take the whole way of such a package's volumes."""
    return package.manifest.infer.mode == "sliding_window" and hasattr(task, "device_job")


def on_device(
    task: Task,
    package: Package,
    volumes: Sequence[Volume],
    batch: int,
    region: Box | None = None,
) -> DeviceWork | str:
    """Get a run on the device ready, or say why the sweep must be done on the host.

    Parameters
    ----------
    task, package, volumes
        What is run; `sweeps` holds.
    batch
        Windows per call at most.
    region
        Part of the source that counts; None: all of it.
    """
    device_task = cast("DeviceTask", task)
    try:
        job = device_task.device_job(package, volumes, region)
    except NotOnDevice as error:
        return str(error)
    window = replace(job.recipe.window, batch=min(job.recipe.window.batch, batch))
    job = replace(job, recipe=replace(job.recipe, window=window))
    return DeviceWork(device_task, package, volumes, job)


def on_host(
    task: Task,
    package: Package,
    volumes: Sequence[Volume],
    batch: int,
    region: Box | None = None,
    *,
    most_overlap: float | None = None,
    notes: tuple[str, ...] = (),
) -> HostWork:
    """Get a run on the host ready.

    Parameters
    ----------
    task, package, volumes
        What is run.
    batch
        Windows or slices per call at most.
    region
        Part of the source that counts; None: all of it.
    most_overlap
        Largest overlap of windows, where the package's own is too slow.
    notes
        For the result's provenance.
    """
    if region is None:
        prepared = task.prepare(package, volumes)
    else:
        prepared = cast("RegionTask", task).prepare(package, volumes, region)
    if window := prepared.window:
        overlap = window.overlap if most_overlap is None else min(window.overlap, most_overlap)
        window = replace(window, batch=min(window.batch, batch), overlap=overlap)
        prepared = replace(prepared, window=window)
    return HostWork(task, package.batched(batch), volumes, prepared, notes)


def infer(package: Package, session: Session, prepared: Prepared) -> FloatArray | Iterator[Slab]:
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
    ndarray or iterator of Slab
        float32: axes (channel, k, j, i), or (channel,) where the graph answers for the
        whole image. Slabs where `prepared` has a window: the model runs while they are taken.
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


__all__ = ["DeviceWork", "HostWork", "Work", "infer", "on_device", "on_host", "sweeps"]
