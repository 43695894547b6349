"""The picture of a result: image, labels and numbers on one page 1024 pixels wide.

The font is the one that ships with Pillow, so the same result gives the same pixels on every
machine. Nothing about the patient is written; see `node.encode.capture` for the DICOM side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from engines.types import BoolArray, BuiltInResult, Label, LabelArray, SegmentationResult, Volume
from node.domain import ResultContext, Source
from node.encode.case import found_labels
from node.encode.column import column_height, draw_column
from node.encode.marking import NOT_FOR_CLINICAL_USE
from node.encode.pen import AMBER, BACKGROUND, BLACK, DIM, INK, PANEL, Pen
from node.encode.telling import largest_slices
from node.encode.view import (
    RGB,
    View,
    coronal_view,
    draw,
    fit,
    radiograph_view,
    slice_view,
    slice_views,
    window_of,
    zoomed,
)

WIDTH = 1024
MARGIN = 32
GAP = 12
HEADER = 112
FOOTER = 64
_COLUMN = 304
_MONTAGE = (3, 2)
"""Columns and rows of slices."""
_SMALL_SHARE = 0.15
"""Of the image's side: labels that take less together are enlarged."""
_LOWEST = 96
"""Pixels: marks and caption of a flatter view would lie on each other."""
_THIN = 60
"""Pixels: a coronal projection of a few slices shows nothing."""


@dataclass(frozen=True)
class _Placed:
    """A view and the box it is put in: left, top, width, height in pixels of the page."""

    view: View
    box: tuple[int, int, int, int]


def render_picture(result: BuiltInResult, source: Source, context: ResultContext) -> RGB:
    """Render a result as one picture.

    Parameters
    ----------
    result
        On the grid of the source.

    Returns
    -------
    array
        uint8, axes (row, column, RGB), 1024 columns.
    """
    placed, column, height = _layout(result, source)
    page = Image.new("RGB", (WIDTH, height), BACKGROUND)
    pen = Pen(ImageDraw.Draw(page))
    _draw_header(pen, context)
    labels = found_labels(result) if isinstance(result, SegmentationResult) else []
    for one in placed:
        _draw_view(page, pen, one, labels)
    draw_column(pen, result, source, column)
    _draw_footer(pen, context, height)
    return np.array(page)


def _layout(
    result: BuiltInResult, source: Source
) -> tuple[list[_Placed], tuple[int, int, int], int]:
    """Place views, the column of numbers (left, top, width) and the page's end."""
    volume = source.volume
    needed = column_height(result, source)
    if isinstance(result, SegmentationResult):
        labels = result.labelmap
    else:
        labels = np.zeros(volume.grid.shape, dtype=np.uint8)
    if volume.grid.shape[0] == 1:
        if volume.grid.patient_frame:
            view = slice_views(volume, labels, 1)[0]
        else:
            view = radiograph_view(volume, labels, source.datasets[0])
        return _one_image(view, needed)
    return _montage(_telling_views(result, volume, labels), coronal_view(volume, labels), needed)


def _telling_views(result: BuiltInResult, volume: Volume, labels: LabelArray) -> list[View]:
    """Choose the slices: the largest of each label, and even steps; enlarged where all is small."""
    count = _MONTAGE[0] * _MONTAGE[1]
    if not isinstance(result, SegmentationResult) or not found_labels(result):
        return slice_views(volume, labels, count)
    largest = largest_slices(result)
    by_size = sorted(largest, key=lambda value: (-int(result.voxel_counts[value]), value))
    telling = list(dict.fromkeys(largest[value] for value in by_size))[: count // 2]
    around = _extent(labels)
    _, rows_mm, columns_mm = volume.grid.spacing_mm
    tall, wide = (around[1] - around[0]) * rows_mm, (around[3] - around[2]) * columns_mm
    whole = max(volume.grid.shape[1] * rows_mm, volume.grid.shape[2] * columns_mm)
    if max(tall, wide) > _SMALL_SHARE * whole:
        return slice_views(volume, labels, count, telling)
    overview = slice_view(volume, labels, telling[0], window_of(volume, labels))
    views = slice_views(volume, labels, count - 1, telling)
    return [overview, *(zoomed(view, around, 4.0) for view in views)]


def _extent(labels: LabelArray) -> tuple[int, int, int, int]:
    """Rows and columns between which all labels lie: first, and past the last."""
    flat: BoolArray = np.asarray(labels.any(axis=0))
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _one_image(view: View, needed: int) -> tuple[list[_Placed], tuple[int, int, int], int]:
    room = WIDTH - 2 * MARGIN - 2 * GAP - _COLUMN
    _, height = fit(view, room, 860)
    tall = max(height, needed, 320)
    box = (MARGIN, HEADER, room, tall)
    column = (MARGIN + room + 2 * GAP, HEADER, _COLUMN)
    return [_Placed(view, box)], column, HEADER + tall + FOOTER


def _montage(
    views: list[View], coronal: View | None, needed: int
) -> tuple[list[_Placed], tuple[int, int, int], int]:
    across = _MONTAGE[0] if len(views) > 2 * (_MONTAGE[0] - 1) else 2
    width = (WIDTH - 2 * MARGIN - (across - 1) * GAP) // across
    _, tall = fit(views[0], width, 400 if across == _MONTAGE[0] else width)
    if coronal is not None and fit(coronal, width, width)[1] < _THIN:
        coronal = None
    tall = max(tall, _LOWEST)
    placed = []
    for n, view in enumerate(views):
        row, column = divmod(n, across)
        placed.append(
            _Placed(
                view,
                (MARGIN + column * (width + GAP), HEADER + row * (tall + GAP), width, tall),
            )
        )
    rows = -(-len(views) // across)
    top = HEADER + rows * (tall + GAP) + GAP
    width = (WIDTH - 2 * MARGIN - (_MONTAGE[0] - 1) * GAP) // _MONTAGE[0]
    below = max(needed, 0 if coronal is None else width)
    left = MARGIN
    if coronal is not None:
        placed.append(_Placed(coronal, (MARGIN, top, width, width)))
        left += width + 2 * GAP
    return placed, (left, top, WIDTH - MARGIN - left), top + below + FOOTER


def _draw_header(pen: Pen, context: ResultContext) -> None:
    made_by = context.provenance
    pen.text((MARGIN, 24), context.title, 30, INK, width=WIDTH - 2 * MARGIN - 250)
    pen.text(
        (MARGIN, 68),
        f"{made_by.model} {made_by.version}  ·  {made_by.backend}",
        17,
        DIM,
        width=WIDTH - 2 * MARGIN - 400,
    )
    right = WIDTH - MARGIN
    pen.badge(right, 22, "AI · UNVERIFIED", 18)
    if context.content_qualification == "RESEARCH":
        pen.text((right, 68), NOT_FOR_CLINICAL_USE, 17, AMBER, anchor="ra")


def _draw_view(page: Image.Image, pen: Pen, placed: _Placed, labels: list[Label]) -> None:
    left, top, room, tall = placed.box
    pen.draw.rectangle((left, top, left + room - 1, top + tall - 1), fill=BLACK)
    width, height = fit(placed.view, room, tall)
    x, y = left + (room - width) // 2, top + (tall - height) // 2
    page.paste(Image.fromarray(draw(placed.view, (width, height), labels)), (x, y))
    size = 20 if room > 400 else 16
    at_left, at_right, at_top, at_bottom = placed.view.marks
    middle, centre = top + tall // 2, left + room // 2
    pen.outlined((left + 8, middle), at_left, size, "lm")
    pen.outlined((left + room - 8, middle), at_right, size, "rm")
    pen.outlined((centre, top + 6), at_top, size, "ma")
    pen.outlined((centre, top + tall - 6), at_bottom, size, "md")
    pen.outlined((left + 8, top + tall - 6), placed.view.caption, 14, "ld")


def _draw_footer(pen: Pen, context: ResultContext, height: int) -> None:
    pen.draw.line((MARGIN, height - 48, WIDTH - MARGIN, height - 48), fill=PANEL)
    made = context.made_at.strftime("%Y-%m-%d %H:%M %Z")
    words = (
        f"Wetread {context.node_version}  ·  weights sha256 "
        f"{context.provenance.weights_sha256[:12]}  ·  configuration "
        f"{context.config_digest[:12]}  ·  {made}"
    )
    pen.text((MARGIN, height - 36), words, 14, DIM, width=WIDTH - 2 * MARGIN)
