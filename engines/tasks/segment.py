"""Segmentation: one label per voxel of the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engines.api import Box, DeviceJob, Prepared, Slab
from engines.errors import InferenceError
from engines.grid import Sampling
from engines.package import Package
from engines.stages import stage
from engines.tasks.activation import activate
from engines.tasks.crop import cut_grid, foreground
from engines.tasks.image import prepare, route
from engines.tasks.measure import measure
from engines.tasks.morphology import clean
from engines.tasks.on_device import device_job, label_names
from engines.tasks.region import only, turned, within
from engines.types import FloatArray, LabelArray, SegmentationResult, Volume

SLAB_VOXELS = 1 << 20
"""Source voxels brought back at once: 4 MiB per array, whatever the number of classes."""

THRESHOLD = np.float32(0.5)
"""Least probability of a label where labels do not compete with a background channel."""


class SegmentTask:
    """Segmentation: one label per voxel of the source."""

    def prepare(
        self, package: Package, volumes: Sequence[Volume], region: Box | None = None
    ) -> Prepared:
        """Make the network's input; see `engines.tasks.image.prepare`."""
        return prepare(package, volumes, region)

    def finish(
        self,
        package: Package,
        output: FloatArray | Iterator[Slab],
        prepared: Prepared,
        volumes: Sequence[Volume],
    ) -> SegmentationResult:
        """Make a label map on the source grid, cleaned and measured.

        Parameters
        ----------
        package
            Says what the channels mean.
        output
            float32, axes (channel, k, j, i), on `prepared.grid`: all of it, or slabs in the
            order of k.
        prepared
            What `prepare` gave.
        volumes
            The same as in `prepare`; measurements are of the first.

        Raises
        ------
        InferenceError
            If the output is not on the prepared grid.
        """
        if isinstance(output, np.ndarray):
            output = iter([Slab(0, output)])
        channels = package.manifest.model.outputs[0].channels
        slabs = _checked(output, (channels, *prepared.grid.shape))
        box = foreground(package, volumes)
        way = route(package, cut_grid(volumes[0].grid, box))
        slices = None
        if prepared.region is not None:
            slices = turned(within(prepared.region, box), way.orientation, way.sampling, 0)
        post = package.manifest.postprocess
        kept = None
        if package.manifest.output.probabilities:
            highest = max(label.value for label in package.labels)
            kept = np.zeros((highest, *way.sampling.source), dtype=np.uint8)
        labelmap = np.zeros(volumes[0].grid.shape, dtype=np.uint8)
        label_map(
            slabs,
            way.sampling,
            post.activation,
            slices,
            painted=bool(post.regions),
            kept=kept,
            out=way.orientation.apply(labelmap[box]),
        )
        _rename(package, labelmap)
        result = _result(package, labelmap, volumes[0], prepared.region)
        if kept is None:
            return result
        probabilities = np.zeros((len(package.labels), *volumes[0].grid.shape), dtype=np.uint8)
        for number, label in enumerate(package.labels):
            probabilities[number][box] = way.orientation.undo(kept[label.value - 1])
        return replace(result, probabilities=probabilities)

    def device_job(
        self, package: Package, volumes: Sequence[Volume], region: Box | None = None
    ) -> DeviceJob:
        """Say what a device has to do; see `engines.tasks.on_device.device_job`."""
        return device_job(package, volumes, region)

    def finish_labels(
        self, package: Package, labels: LabelArray, job: DeviceJob, volumes: Sequence[Volume]
    ) -> SegmentationResult:
        """Clean and measure the labels of a job's box, uint8, axes (k, j, i) of the source."""
        labelmap = np.zeros(volumes[0].grid.shape, dtype=np.uint8)
        labelmap[job.box] = labels
        return _result(package, labelmap, volumes[0], job.region)


def _result(
    package: Package, labelmap: LabelArray, volume: Volume, region: Box | None
) -> SegmentationResult:
    """Clean and measure labels on the grid of the source."""
    labelmap = clean(only(labelmap, region), volume.grid, package.manifest.postprocess.steps)
    return SegmentationResult(labelmap, package.labels, measure(package, labelmap, volume))


def label_map(
    slabs: Iterable[Slab],
    sampling: Sampling,
    activation: str,
    slices: tuple[int, int] | None = None,
    *,
    painted: bool = False,
    kept: LabelArray | None = None,
    out: LabelArray | None = None,
) -> LabelArray:
    """Bring a network's output back, slab by slab, and choose the label of each voxel.

    Probabilities are interpolated, not logits. Unless `activation` is ``"sigmoid"``, and if
    there are several channels, channel c is label c, 0 is background, and the highest wins.
    Otherwise channel c is label c + 1, and the highest wins if it reaches `THRESHOLD`; with
    `painted`, the last that exceeds it.

    Parameters
    ----------
    slabs
        Raw output on the canvas of `sampling`, in the order of k and without gaps.
    sampling
        The way back.
    activation
        As in `activate`.
    slices
        First slice of the source that counts, and the one past the last; the others are
        background. None: all of them.
    painted
        Whether later channels paint over earlier ones: ``postprocess.regions``.
    kept
        uint8, axes (label - 1, k, j, i): filled with the probabilities, 0 … 255 for 0 … 1.
    out
        uint8, shape of the sampling's source, all background: where the labels are written; a
        new array by default.

    Returns
    -------
    ndarray
        uint8, axes (k, j, i), shape of the sampling's source.
    """
    _, rows, columns = sampling.source
    first, last = slices or (0, sampling.source[0])
    labelmap = np.zeros(sampling.source, dtype=np.uint8) if out is None else out
    thickness = max(1, SLAB_VOXELS // (rows * columns))
    done, held = first, None
    for slab in slabs:
        start, stop = slab.start, slab.start + slab.values.shape[1]
        if done == last or sampling.needed(done, done + 1)[0] >= stop:
            held = None
            continue
        with stage("activate"):
            values, rule = _probabilities(slab.values, activation, painted=painted)
        if held is not None:
            start -= held.shape[1]
            values = np.concatenate([held, values], axis=1)
        while done < last:
            end = min(done + thickness, last)
            while end > done and sampling.needed(done, end)[1] > stop:
                end -= 1
            if end == done:
                break
            part = None if kept is None else kept[:, done:end]
            _choose(labelmap[done:end], values, sampling, (done, end, start), rule, part)
            done = end
        low = sampling.needed(done, done + 1)[0] if done < last else stop
        held = values[:, max(0, low - start) :].copy()
    return labelmap


@dataclass(frozen=True)
class _Rule:
    """Channel c is label ``first + c``; the highest that is greater than `least` wins.

    Where they are `painted`, the last of those that are greater does.
    """

    first: int
    least: np.float32
    painted: bool = False


def _probabilities(
    output: FloatArray, activation: str, *, painted: bool
) -> tuple[FloatArray, _Rule]:
    """Activate the channels that decide, and say how they do."""
    if activation == "softmax" and len(output) == 2:
        # Of two that add up to 1, one says it all: half the work.
        return activate(output[1:] - output[:1], "sigmoid"), _Rule(1, THRESHOLD)
    probabilities = activate(output, activation)
    if painted:
        return probabilities, _Rule(1, THRESHOLD, painted=True)
    if activation != "sigmoid" and len(output) > 1:
        return probabilities, _Rule(0, np.float32(-np.inf))
    return probabilities, _Rule(1, np.nextafter(THRESHOLD, np.float32(0)))


def _choose(
    labels: LabelArray,
    probabilities: FloatArray,
    sampling: Sampling,
    where: tuple[int, int, int],
    rule: _Rule,
    kept: LabelArray | None,
) -> None:
    """Choose the labels of source slices; `where` is their start, stop, and the first held."""
    start, stop, first = where
    if len(probabilities) == 1:
        with stage("inverse"):
            values = sampling.backward(probabilities[0], start, stop, first=first)
        with stage("argmax"):
            labels[values > rule.least] = rule.first
        _keep(kept, rule.first, values)
        return
    best = np.full(labels.shape, rule.least)
    better = np.empty(labels.shape, dtype=np.bool_)
    for number, channel in enumerate(probabilities, start=rule.first):
        with stage("inverse"):
            values = sampling.backward(channel, start, stop, first=first)
        with stage("argmax"):
            np.greater(values, best, out=better)
            np.copyto(labels, np.uint8(number), where=better)
            if not rule.painted:
                np.copyto(best, values, where=better)
        _keep(kept, number, values)


def _keep(kept: LabelArray | None, label: int, values: FloatArray) -> None:
    if kept is not None and 1 <= label <= len(kept):
        kept[label - 1] = np.rint(np.clip(values, 0, 1) * 255)


def _checked(slabs: Iterable[Slab], expected: tuple[int, ...]) -> Iterator[Slab]:
    """Pass slabs on that together make an output of the shape `expected`."""
    channels, slices, rows, columns = expected
    end = 0
    for slab in slabs:
        shape = slab.values.shape
        if slab.values.ndim != 4 or (shape[0], *shape[2:]) != (channels, rows, columns):
            raise InferenceError(f"the output has shape {shape}, expected {expected}")
        if slab.start != end:
            raise InferenceError(f"the output goes on at slice {slab.start}, expected {end}")
        end += shape[1]
        yield slab
    if end != slices:
        raise InferenceError(f"the output has {end} slices, expected {expected}")


def _rename(package: Package, labelmap: LabelArray) -> None:
    """Turn the numbers of channels into labels, in place; what has no label is background."""
    names = label_names(package)
    highest = int(labelmap.max(initial=0))
    if not np.array_equal(names[: highest + 1], np.arange(highest + 1)):
        for plane in labelmap:
            plane[...] = names[plane]


__all__ = ["SLAB_VOXELS", "THRESHOLD", "SegmentTask", "label_map"]
