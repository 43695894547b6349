"""A sweep on the device, stage by stage, by the device's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy.typing as npt

from engines.api import DeviceJob
from engines.bench.stages import STAGES
from engines.device.api import Argument, Buffer, DeviceApi, Extent, Mark, Stream
from engines.device.sweep import Network, segment
from engines.types import Array, LabelArray

DEVICE_STAGES: Final = tuple(stage for stage in STAGES if stage not in ("argmax", "finish"))
"""What the device does: ``prepare`` gathers windows, too, ``activate`` divides the weights out,
and one kernel does both ``inverse`` and the label of each voxel."""

_KERNELS: Final = {
    "accumulate": "blend",
    "constant": "blend",
    "shift": "blend",
    "activate": "activate",
    "label": "inverse",
}
"""Stage of a kernel; all others prepare."""


class StageClock:
    """Pairs of marks around each piece of queued work.

    The streams of a device run side by side: stages may add up to more than the time of the
    whole.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[str, Mark, Mark]] = []

    def around(self, stage: str, before: Mark, after: Mark) -> None:
        """Count the time between two marks of one stream for a stage."""
        self._pairs.append((stage, before, after))

    def read(self) -> dict[str, float]:
        """Add up the stages, seconds, and begin anew; all streams must be done."""
        seconds = dict.fromkeys(DEVICE_STAGES, 0.0)
        for stage, before, after in self._pairs:
            seconds[stage] += after.seconds_since(before)
        self.clear()
        return seconds

    def clear(self) -> None:
        """Give all marks back."""
        while self._pairs:
            _, before, after = self._pairs.pop()
            before.close()
            after.close()


class TimedDevice:
    """A device whose queued work is timed; see `engines.device.api.DeviceApi`."""

    def __init__(self, api: DeviceApi, clock: StageClock) -> None:
        self._api, self._clock = api, clock
        self.name, self.compute_capability = api.name, api.compute_capability
        self.memory, self.allocate, self.close = api.memory, api.allocate, api.close
        self.stream = api.stream

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Make a host array that copies reach without a detour."""
        return self._api.pinned(shape, dtype)

    def copy_in(self, buffer: Buffer, host: Array, stream: Stream) -> None:
        """Queue a copy to the device."""
        before = stream.mark()
        self._api.copy_in(buffer, host, stream)
        self._clock.around("upload", before, stream.mark())

    def copy_out(self, host: Array, buffer: Buffer, stream: Stream) -> None:
        """Queue a copy from the device."""
        before = stream.mark()
        self._api.copy_out(host, buffer, stream)
        self._clock.around("download", before, stream.mark())

    def fill(self, buffer: Buffer, value: int, stream: Stream) -> None:
        """Queue setting every byte of a buffer: the sums and the labels begin with it."""
        before = stream.mark()
        self._api.fill(buffer, value, stream)
        self._clock.around("blend", before, stream.mark())

    def launch(
        self,
        kernel: str,
        grid: Extent,
        block: Extent,
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        """Queue a kernel."""
        before = stream.mark()
        self._api.launch(kernel, grid, block, arguments, stream)
        self._clock.around(_KERNELS.get(kernel, "prepare"), before, stream.mark())


class TimedNetwork:
    """A network on the device whose batches are timed.

    Attributes
    ----------
    shapes
        Shapes of the inputs, in order.
    """

    def __init__(self, network: Network, clock: StageClock) -> None:
        self._network, self._clock = network, clock
        self.shapes: list[tuple[int, ...]] = []

    def enqueue(self, given: int, made: int, shape: tuple[int, ...], stream: Stream) -> None:
        """Queue one batch."""
        self.shapes.append(shape)
        before = stream.mark()
        self._network.enqueue(given, made, shape, stream)
        self._clock.around("infer", before, stream.mark())


def label(
    session: Any, job: DeviceJob
) -> tuple[LabelArray, dict[str, float], list[tuple[int, ...]]]:
    """Have a session's device label a volume, with a stopwatch.

    Parameters
    ----------
    session
        As `engines.backends.tensorrt.session.TensorRTSession`: with ``on_device`` and ``enqueue``.
    job
        What to do.

    Returns
    -------
    labels
        uint8, axes (k, j, i), of the job's box.
    seconds
        Stage of `DEVICE_STAGES` → time on the device's clock, seconds.
    shapes
        Shape of each input that the network was given, in order.

    Raises
    ------
    NotOnDevice, OutOfMemory, InferenceError, DeviceLost
        As `engines.device.sweep.segment`.
    """

    def timed(api: DeviceApi) -> tuple[LabelArray, dict[str, float], list[tuple[int, ...]]]:
        clock = StageClock()
        network = TimedNetwork(session, clock)
        try:
            labels = segment(TimedDevice(api, clock), network, job.stored, job.recipe)
            return labels, clock.read(), network.shapes
        finally:
            clock.clear()

    found: tuple[LabelArray, dict[str, float], list[tuple[int, ...]]] = session.on_device(timed)
    return found


__all__ = ["DEVICE_STAGES", "StageClock", "TimedDevice", "TimedNetwork", "label"]
