"""A label map → DICOM Segmentation: BINARY, LABELMAP or FRACTIONAL (PS3.3 Section A.51).

highdicom makes the header, from one slice of one pixel; the frames are streamed
(`node.encode.frames`), because their data sets and pixels would not fit in little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from engines.types import LabelArray, SegmentationResult
from node.domain import ObjectForm
from node.encode.case import Case
from node.encode.compression import pixel_data, usable_syntax
from node.encode.encoded import Encoded
from node.encode.frames import Frame, functional_groups
from node.encode.seg_header import segmentation_header
from node.encode.segments import Instance, instances
from node.encode.stream import bits
from node.errors import PermanentError
from node.terminology import SEGMENTATION

MAXIMUM_FRACTIONAL_VALUE = 255


def write_segmentation(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Encode the labels that were found, one binary segment each, never compressed.

    RLE is not for single bits (PS3.5 Section G.2), JPEG 2000 makes little less of them.

    Parameters
    ----------
    case
        Source, headers and context.
    result
        Frames are written only where a segment has voxels.

    Returns
    -------
    list of Encoded
        One unless they are packed; none where no label is found. In the patient frame each
        frame has the position of its source slice; of a projection image there is one frame
        per segment, related to its source by reference alone.
    """
    return [
        _write_binary(case, result, instance)
        for instance in instances(case, ObjectForm.SEG_BINARY, result)
    ]


def write_label_map(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Encode the labels that were found as one label map: one frame per slice.

    The pixels are segment numbers, compressed as `Packing.transfer_syntax_uid` says.
    """
    return [
        _write_label_map(case, result, instance)
        for instance in instances(case, ObjectForm.SEG_LABELMAP, result)
    ]


def write_fractional(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Encode the probabilities of the labels that were found, one segment each.

    Raises
    ------
    PermanentError
        If the result has no probabilities.
    """
    if result.probabilities is None:
        raise PermanentError(
            "the result has no probabilities: the package must ask for them (output.probabilities)"
        )
    return [
        _write_fractional(case, result.probabilities, result, instance)
        for instance in instances(case, ObjectForm.SEG_FRACTIONAL, result)
    ]


def _write_binary(case: Case, result: SegmentationResult, instance: Instance) -> Encoded:
    labelmap, counts = result.labelmap, result.slice_counts
    values = [label.value for label in instance.labels]
    frames = [
        Frame(int(k), number)
        for number, value in enumerate(values, 1)
        for k in np.flatnonzero(counts[:, value])
    ]

    def pixels() -> Iterator[bytes]:
        masks = (labelmap[frame.k] == values[frame.segment - 1] for frame in frames)
        return bits(masks, len(frames), labelmap[0].size)

    return _encoded(case, instance, frames, ExplicitVRLittleEndian, pixels)


def _write_label_map(case: Case, result: SegmentationResult, instance: Instance) -> Encoded:
    labelmap = result.labelmap
    frames = [Frame(int(k), 0) for k in np.flatnonzero(result.slice_counts[:, 1:].any(axis=1))]
    table = np.zeros(256, dtype=np.uint8)
    for number, label in enumerate(instance.labels, 1):
        table[label.value] = number

    def planes() -> Iterator[LabelArray]:
        return (table[labelmap[frame.k]] for frame in frames)

    size = len(frames) * labelmap[0].size
    return _compressed(case, instance, frames, size, planes)


def _write_fractional(
    case: Case, probabilities: LabelArray, result: SegmentationResult, instance: Instance
) -> Encoded:
    place = {label.value: n for n, label in enumerate(result.labels)}
    channels = [probabilities[place[label.value]] for label in instance.labels]
    frames = [
        Frame(int(k), number)
        for number, channel in enumerate(channels, 1)
        for k in np.flatnonzero(channel.any(axis=(1, 2)))
    ]

    def planes() -> Iterator[LabelArray]:
        return (channels[frame.segment - 1][frame.k] for frame in frames)

    return _compressed(case, instance, frames, len(frames) * channels[0][0].size, planes)


def _compressed(
    case: Case,
    instance: Instance,
    frames: Sequence[Frame],
    size: int,
    planes: Callable[[], Iterator[LabelArray]],
) -> Encoded:
    """Put frames of one byte per pixel into the transfer syntax that the packing asks for."""
    syntax = usable_syntax(case.packing.transfer_syntax_uid)

    def pixels() -> Iterator[bytes]:
        return pixel_data(planes(), size, syntax)

    return _encoded(case, instance, frames, syntax, pixels)


def _encoded(
    case: Case,
    instance: Instance,
    frames: Sequence[Frame],
    syntax: str,
    pixels: Callable[[], Iterator[bytes]],
) -> Encoded:
    by_plane = case.source.volume.grid.patient_frame

    def tail() -> Iterable[bytes]:
        yield from functional_groups(case, frames, SEGMENTATION, by_plane=by_plane)
        yield from pixels()

    dataset = segmentation_header(case, instance, frames, syntax)
    return Encoded(instance.form, dataset, tail)
