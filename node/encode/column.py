"""The numbers beside the image: labels with their measurements, or classes with their scores."""

from __future__ import annotations

from engines.types import BuiltInResult, ClassificationResult, Label, SegmentationResult
from node.domain import Source
from node.encode.case import found_labels, missing_labels
from node.encode.pen import AMBER, DIM, INK, PANEL, Pen, with_unit
from node.terminology import measurement_concept

_LINE = 26
_LABEL = 34
_AFTER_LABEL = 14
_NOTHING = 44
_CLASSES = 88
_CLASS = 48
_MOST_LABELS = 6
"""Beyond this number each label has one line."""
_MOST_LINES = 40
_NUMBER = 110
_MOST_CLASSES = 12


def draw_column(pen: Pen, result: BuiltInResult, source: Source, box: tuple[int, int, int]) -> None:
    """Write what was measured or predicted.

    Parameters
    ----------
    box
        Left, top and width of the column in pixels of the page.
    """
    if isinstance(result, SegmentationResult):
        _draw_labels(pen, result, source, box)
    else:
        _draw_classes(pen, result, box)


def column_height(result: BuiltInResult, source: Source) -> int:
    """Height that `draw_column` needs, pixels."""
    if not isinstance(result, SegmentationResult):
        return _CLASSES + _CLASS * min(len(result.scores), _MOST_CLASSES)
    height = 0 if found_labels(result) else _NOTHING
    if len(result.labels) > _MOST_LABELS:
        return height + _LINE * min(len(result.labels), _MOST_LINES + 1)
    for label in result.labels:
        height += _LABEL + _LINE * len(_rows(result, source, label)) + _AFTER_LABEL
    return height


def _draw_labels(
    pen: Pen, result: SegmentationResult, source: Source, box: tuple[int, int, int]
) -> None:
    left, top, width = box
    found = found_labels(result)
    y = top
    if not found:
        pen.text((left, y), "Nothing found", 24, AMBER)
        y += _NOTHING
    if len(result.labels) > _MOST_LABELS:
        _draw_lines(pen, result, source, (left, y, width))
        return
    for label in sorted(result.labels, key=lambda label: label.value):
        _draw_label(pen, label, label in found, (left, y, width))
        y += _LABEL
        for caption, quantity in _rows(result, source, label):
            pen.text((left + 26, y), caption, 17, DIM, width=width - 150)
            pen.quantity(left + width, y, quantity, 17, INK)
            y += _LINE
        y += _AFTER_LABEL


def _draw_lines(
    pen: Pen, result: SegmentationResult, source: Source, box: tuple[int, int, int]
) -> None:
    """Write one line for each of many labels: found ones first, with their first two numbers."""
    left, y, width = box
    found = found_labels(result)
    labels = [*found, *missing_labels(result)]
    shown = labels if len(labels) <= _MOST_LINES + 1 else labels[:_MOST_LINES]
    for label in shown:
        is_found = label in found
        plate = (left, y + 4, left + 13, y + 17)
        pen.draw.rounded_rectangle(
            plate, radius=3, outline=label.color, width=2, fill=label.color if is_found else None
        )
        color = INK if is_found else AMBER
        words = label.name if is_found else f"{label.name}: not found"
        numbers = [words for _, words in _rows(result, source, label)[:2]]
        room = width - 22 - _NUMBER * len(numbers)
        pen.text((left + 22, y), words, 16, color, width=room)
        for place, words in enumerate(reversed(numbers)):
            pen.quantity(left + width - _NUMBER * place, y, words, 16, INK)
        y += _LINE
    if len(shown) < len(labels):
        rest = len(labels) - len(shown)
        pen.text((left, y), f"and {rest} more: see the report", 16, DIM)


def _draw_label(pen: Pen, label: Label, found: bool, box: tuple[int, int, int]) -> None:
    left, top, width = box
    if found:
        pen.draw.rounded_rectangle((left, top + 4, left + 15, top + 19), radius=3, fill=label.color)
        pen.text((left + 26, top), label.name, 20, INK, width=width - 26)
        return
    plate = (left, top + 4, left + 15, top + 19)
    pen.draw.rounded_rectangle(plate, radius=3, outline=label.color, width=2)
    pen.text((left + 26, top), f"{label.name}: not found", 20, AMBER, width=width - 26)


def _rows(result: SegmentationResult, source: Source, label: Label) -> list[tuple[str, str]]:
    rows = []
    for found in result.measurements:
        if found.label != label.value:
            continue
        meaning = measurement_concept(found.name, found.unit, source.volume.modality)
        plain = found.name.replace("_", " ").capitalize()
        rows.append(
            (plain if meaning is None else meaning.caption, with_unit(found.value, found.unit))
        )
    return rows


def _draw_classes(pen: Pen, result: ClassificationResult, box: tuple[int, int, int]) -> None:
    left, top, width = box
    pen.text((left, top), result.concept.meaning, 18, DIM, width=width)
    answer = "Indeterminate" if result.predicted is None else result.predicted
    color = AMBER if result.predicted is None else INK
    pen.text((left, top + 28), answer, 30, color, width=width)
    y = top + _CLASSES
    ordered = sorted(result.scores, key=lambda score: -score.probability)
    for score in ordered[:_MOST_CLASSES]:
        chosen = score.name == result.predicted
        pen.text((left, y), score.name, 17, INK if chosen else DIM, width=width - 80)
        pen.quantity(
            left + width, y, f"{100 * score.probability:.1f} %", 17, INK if chosen else DIM
        )
        pen.draw.rounded_rectangle((left, y + 25, left + width, y + 31), radius=3, fill=PANEL)
        filled = round(width * min(max(score.probability, 0.0), 1.0))
        if filled >= 6:
            bar = (left, y + 25, left + filled, y + 31)
            pen.draw.rounded_rectangle(bar, radius=3, fill=INK if chosen else DIM)
        y += _CLASS
