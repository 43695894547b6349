"""The two seams of the engines: how a model file runs, and what a kind of model means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from engines.types import FloatArray, Grid, LabelArray, Result, Tensors, Volume

if TYPE_CHECKING:
    from engines.device.prepare import Stored
    from engines.device.sweep import Recipe
    from engines.package import Package


Voxel: TypeAlias = tuple[int, int, int]
"""A place along k, j and i, voxels."""

Box: TypeAlias = tuple[slice, slice, slice]
"""Voxels along k, j and i; both ends are given."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told of a long piece of work: its phase, steps done, and steps in all; may raise to end it."""


@dataclass(frozen=True)
class WindowPlan:
    """How a volume is swept.

    Parameters
    ----------
    patch
        Window size along (k, j, i), voxels.
    overlap
        Share of a window that its neighbour covers again, 0 ≤ overlap < 1.
    blend
        ``"gaussian"`` or ``"constant"`` weight inside a window.
    batch
        Windows per call.
    skip_at_most
        A window whose input nowhere exceeds this is not run. None: every window is run.
    skipped
        What the first channel of the output is inside a window that is not run, and what
        all others are: those of background.
    region
        First voxel along k, j and i, and the one past the last: a window that has none of them
        is left out, and the output outside is of no use. None: the whole volume.
    channels
        Of the output, where they are known before a window is run.
    """

    patch: tuple[int, int, int]
    overlap: float
    blend: str
    batch: int = 1
    skip_at_most: float | None = None
    skipped: tuple[float, float] = (20.0, -20.0)
    region: tuple[Voxel, Voxel] | None = None
    channels: int | None = None

    def leaves_out(self, corner: Voxel) -> bool:
        """Whether the window at `corner` has nothing of the region."""
        if self.region is None:
            return False
        window = zip(corner, self.patch, *self.region, strict=True)
        return not all(first < stop and first + size > start for first, size, start, stop in window)


@dataclass(frozen=True)
class Slab:
    """Some slices of a swept volume, blended and final.

    Parameters
    ----------
    start
        First slice (k) of the swept volume that is in it.
    values
        float32, axes (channel, k, j, i), rows and columns of the volume; it belongs to
        whoever takes the slab.
    """

    start: int
    values: FloatArray


class Session(Protocol):
    """A loaded model."""

    def run(self, inputs: Tensors) -> Tensors:
        """Run one batch: named float32 arrays (N, C, …) in, named arrays out.

        Raises
        ------
        InferenceError
            If the model fails, or an output is not finite.
        OutOfMemory
            If the device has no room.
        """
        ...

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> Iterator[Slab]:
        """Run a whole volume (C, k, j, i), window by window.

        The slabs come in the order of k, without gaps, from slice 0 to the last, so that
        memory is channels × slab and not channels × volume. The model runs while they are
        taken: errors of `run` come then.
        """
        ...

    def close(self) -> None:
        """Give the device's memory back; the session cannot be used after it."""
        ...


@dataclass(frozen=True)
class DeviceJob:
    """A volume's whole way through a device, for those that can do more than run a network.

    Parameters
    ----------
    stored
        One volume per input channel, cut to `box`.
    recipe
        What to do with them.
    box
        Where they lie in the source; all outside is background.
    region
        As in `Prepared`.
    """

    stored: Sequence[Stored]
    recipe: Recipe
    box: Box
    region: Box | None = None


class DeviceSession(Session, Protocol):
    """A session that takes a volume's whole way: stored voxels up, labels down."""

    def label(self, job: DeviceJob) -> LabelArray:
        """Make a label map, uint8, axes (k, j, i), of the job's box.

        Raises
        ------
        NotOnDevice
            If the device cannot; `sweep` can.
        InferenceError, NotFinite, OutOfMemory, DeviceLost
            As for `run`; the device is as it was before.
        """
        ...


class Backend(Protocol):
    """How a model file runs.

    It may also have ``default_device``, the device it runs on where nobody names one;
    ``labels_on_device``, true where its sessions are `DeviceSession`; and
    ``make_ready(package, *, device, progress)``, which does once, at start-up, what loading a
    package would wait for too long, and yields what could not be done, in sentences.
    """

    name: str

    def missing(self) -> str | None:
        """Say why this backend cannot run on this machine, or None."""
        ...

    def load(self, package: Package, *, device: str) -> Session:
        """Load a package's model.

        Raises
        ------
        BackendUnavailable
            If `missing` is not None.
        PackageError
            If the model file cannot be loaded.
        """
        ...


@dataclass(frozen=True)
class Prepared:
    """Network input made from volumes, and the way back.

    Parameters
    ----------
    tensor
        float32, axes (channel, k, j, i) on `grid`; a 2D model sees k = 1.
    grid
        Where the tensor's voxels are, in the source's frame.
    window
        How to sweep it, or None to run it whole.
    region
        Part of the source outside of which all is background; None: there is no such part.
    """

    tensor: FloatArray
    grid: Grid
    window: WindowPlan | None
    region: Box | None = None


class Task(Protocol):
    """What a kind of model means; pure: no device, no file, no clock."""

    def prepare(self, package: Package, volumes: Sequence[Volume]) -> Prepared:
        """Make the network's input.

        Raises
        ------
        InputError
            If the volumes do not fit the package.
        """
        ...

    def finish(
        self,
        package: Package,
        output: FloatArray | Iterator[Slab],
        prepared: Prepared,
        volumes: Sequence[Volume],
    ) -> Result:
        """Make a result on the source grid from the network's raw output.

        The output is an array, or the slabs of a sweep where `prepared` has a window.
        """
        ...


class RegionTask(Task, Protocol):
    """A task that can look at a part of its volumes only: ``infer.coarse``."""

    def prepare(
        self, package: Package, volumes: Sequence[Volume], region: Box | None = None
    ) -> Prepared:
        """Make the network's input, of which only a region of the source counts."""
        ...


class DeviceTask(Task, Protocol):
    """A task whose volumes a device can take the whole way."""

    def device_job(
        self, package: Package, volumes: Sequence[Volume], region: Box | None = None
    ) -> DeviceJob:
        """Say what a device has to do, instead of `prepare`.

        Raises
        ------
        NotOnDevice
            If no device can do it.
        InputError
            If the volumes do not fit the package.
        """
        ...

    def finish_labels(
        self, package: Package, labels: LabelArray, job: DeviceJob, volumes: Sequence[Volume]
    ) -> Result:
        """Make a result on the source grid from what the device made of the job's box."""
        ...


__all__ = [
    "Backend",
    "Box",
    "DeviceJob",
    "DeviceSession",
    "DeviceTask",
    "Prepared",
    "Progress",
    "RegionTask",
    "Session",
    "Slab",
    "Task",
    "Voxel",
    "WindowPlan",
]
