"""A result → multi-frame secondary capture: the slices with their overlay, for simple viewers.

Multi-frame True Color Secondary Capture (PS3.3 A.8.5): one frame per slice of the labelled
range, streamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageDraw

from engines.types import SegmentationResult
from node.domain import ObjectForm
from node.encode.capture import complete_capture
from node.encode.case import Case, found_labels
from node.encode.compression import declare, pixel_data, usable_syntax
from node.encode.encoded import Encoded
from node.encode.pen import AMBER, Pen
from node.encode.reference import references, start
from node.encode.view import RGB, axis_marks, draw, fit, slice_view, window_of

_SIDE = 512
_FRAMES = 120
"""At most, unless the destination takes fewer: 94 MB where they are not compressed."""


def write_frames(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Encode the slices of the labelled range with labels drawn on; all slices if there are none.

    Every slice where they are few enough, else evenly spaced ones.
    """
    slices = _chosen(case, result)
    dataset = start(case, ObjectForm.SC_MULTIFRAME, "OT")
    first = slice_view(case.source.volume, result.labelmap, slices[0], (0.0, 1.0))
    columns, rows = fit(first, _SIDE, _SIDE)
    complete_capture(dataset, case, (rows, columns), references(case, slices))
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.NumberOfFrames = len(slices)
    dataset.FrameIncrementPointer = 0x00182002
    dataset.FrameLabelVector = [f"slice {k + 1}" for k in slices]
    dataset.RecognizableVisualFeatures = "NO"
    size = 3 * rows * columns * len(slices)
    syntax = usable_syntax(case.packing.transfer_syntax_uid)
    declare(dataset, syntax)

    def tail() -> Iterable[bytes]:
        return pixel_data(_frames(case, result, slices, (columns, rows)), size, syntax)

    return [Encoded(ObjectForm.SC_MULTIFRAME, dataset, tail)]


def _chosen(case: Case, result: SegmentationResult) -> list[int]:
    labelled = np.flatnonzero(result.slice_counts[:, 1:].any(axis=1))
    count = case.source.volume.grid.shape[0]
    first, last = (labelled[0], labelled[-1]) if len(labelled) else (0, count - 1)
    most = min(_FRAMES, case.packing.max_frames or _FRAMES)
    steps = np.linspace(first, last, min(most, last - first + 1))
    return sorted(set(np.rint(steps).astype(int).tolist()))


def _frames(
    case: Case, result: SegmentationResult, slices: list[int], size: tuple[int, int]
) -> Iterator[RGB]:
    window = window_of(case.source.volume, result.labelmap)
    labels = found_labels(result)
    marks = axis_marks(case.source.volume.grid)
    made_by = case.context.provenance
    for k in slices:
        view = slice_view(case.source.volume, result.labelmap, k, window)
        page = Image.fromarray(draw(view, size, labels))
        pen = Pen(ImageDraw.Draw(page))
        width, height = size
        for words, at, anchor in zip(
            marks,
            (
                (4, height // 2),
                (width - 4, height // 2),
                (width // 2, 4),
                (width // 2, height - 20),
            ),
            ("lm", "rm", "ma", "md"),
            strict=True,
        ):
            pen.outlined(at, words, 16, anchor)
        shown = [label for label in labels if result.slice_counts[k, label.value]]
        for line, label in enumerate(shown[:8]):
            pen.outlined((8, 8 + 18 * line), label.name, 13, "la", label.color)
        pen.outlined(
            (8, height - 4), f"{view.caption} · {made_by.model} {made_by.version}", 12, "ld"
        )
        pen.outlined((width - 8, height - 4), "AI · UNVERIFIED", 13, "rd", AMBER)
        yield np.asarray(page)
