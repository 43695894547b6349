"""What a run of a package took, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

STAGES: Final = (
    "upload",
    "prepare",
    "infer",
    "blend",
    "activate",
    "inverse",
    "argmax",
    "download",
    "finish",
)
"""In order: voxels and tables up; turning, resampling, normalising; the network; placing windows
and adding them up; the activation; back to the source's voxels; the label of each; labels down;
clean-up and measurements, and on a device the crop before. No run has all of them."""

COARSE: Final = "coarse pass"
"""All of the pass that finds where the fine one looks, of packages with ``infer.coarse``."""

ON_DEVICE: Final = "swept on the device"
"""The way of a run that is done there, as the notes of a result have it."""

ON_HOST: Final = "nothing leaves the host"
IN_INVERSE: Final = "in inverse: one kernel does both"
NO_SUCH_STAGE: Final = "no such step in this package"


@dataclass(frozen=True)
class Timing:
    """One run of one package.

    Parameters
    ----------
    seconds
        Stage → time, seconds: on the wall, or by the device's clock on a device.
    total
        Time on the wall from the images to the result, seconds. The streams of a device run
        side by side, so that its stages may add up to more.
    cpu_seconds
        Processor time of the whole run in this process, seconds.
    network_cpu_seconds
        Processor time of the network alone; 0 on a device.
    shapes
        Of each input that the network was given, in order; not those of the coarse pass.
    """

    seconds: Mapping[str, float]
    total: float
    cpu_seconds: float
    network_cpu_seconds: float
    shapes: Sequence[tuple[int, ...]]

    @property
    def network(self) -> float:
        """Time of the network, seconds."""
        return self.seconds.get("infer", 0.0)

    @property
    def overhead(self) -> float | None:
        """Time of everything but the network, as a share of the network's; None without it."""
        return (self.total - self.network) / self.network if self.network else None


@dataclass(frozen=True)
class Rounds:
    """All runs of one package on one backend.

    Parameters
    ----------
    backend, device
        What it ran on.
    way
        As the notes of a result have it: whether the sweep was on the device, or why not.
    timings
        One per round, at least one; the warm-up is not among them.
    """

    backend: str
    device: str
    way: str
    timings: Sequence[Timing]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that there are, in order."""
        found = self.timings[-1].seconds
        return tuple(stage for stage in (COARSE, *STAGES) if stage in found)

    @property
    def missing(self) -> dict[str, str]:
        """The stages of `STAGES` that there are not, and why."""
        absent = [stage for stage in STAGES if stage not in self.stages]
        if self.way != ON_DEVICE:
            why = {"upload": ON_HOST, "download": ON_HOST}
        else:
            why = {"argmax": IN_INVERSE}
        return {stage: why.get(stage, NO_SUCH_STAGE) for stage in absent}

    @property
    def input_shapes(self) -> dict[tuple[int, ...], int]:
        """Each shape the network was given, and how often in one run."""
        shapes: dict[tuple[int, ...], int] = {}
        for shape in self.timings[-1].shapes:
            shapes[shape] = shapes.get(shape, 0) + 1
        return shapes

    def seconds(self, stage: str) -> float:
        """Median time of a stage, seconds."""
        return median(timing.seconds[stage] for timing in self.timings)

    @property
    def network(self) -> float:
        """Median time of the network, seconds."""
        return median(timing.network for timing in self.timings)

    @property
    def least_network_cpu_seconds(self) -> float:
        """Processor time of the network in the round in which it took least, seconds."""
        return min(timing.network_cpu_seconds for timing in self.timings)

    @property
    def total(self) -> float:
        """Median time on the wall, seconds."""
        return median(timing.total for timing in self.timings)

    @property
    def cpu_seconds(self) -> float:
        """Median processor time, seconds."""
        return median(timing.cpu_seconds for timing in self.timings)

    @property
    def overhead(self) -> float | None:
        """Median time of everything but the network, as a share of the network's."""
        shares = [timing.overhead for timing in self.timings if timing.overhead is not None]
        return median(shares) if shares else None


__all__ = ["COARSE", "ON_DEVICE", "STAGES", "Rounds", "Timing"]
