"""Lines over time, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1100, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 240, 36, 40
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf")


@dataclass(frozen=True)
class Panel:
    """One chart: lines by name, each of (minute, value)."""

    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw panels one above the other, over the same minutes."""
    image = Image.new("RGB", (WIDTH, HEIGHT * len(panels)), "white")
    canvas = ImageDraw.Draw(image)
    points = [point for panel in panels for line in panel.lines.values() for point in line]
    minutes = max((minute for minute, _ in points), default=1.0)
    for number, panel in enumerate(panels):
        _panel(canvas, panel, number * HEIGHT, minutes)
    image.save(path)


def _panel(canvas: ImageDraw.ImageDraw, panel: Panel, top: int, minutes: float) -> None:
    small, large = ImageFont.load_default(13), ImageFont.load_default(16)
    values = [value for line in panel.lines.values() for _, value in line]
    highest = _round_up(max(values, default=1.0))
    left, right = LEFT, WIDTH - RIGHT
    upper, lower = top + TOP, top + HEIGHT - BOTTOM

    def place(minute: float, value: float) -> tuple[float, float]:
        x = left + (right - left) * minute / max(minutes, 1e-9)
        return x, lower - (lower - upper) * value / highest

    canvas.text((left, top + 8), panel.title, "black", large)
    for part in range(5):
        value, minute = highest * part / 4, minutes * part / 4
        (_, y), (x, _) = place(0, value), place(minute, 0)
        canvas.line((left, y, right, y), "#dddddd")
        canvas.text((left - 8, y), f"{value:g}", "black", small, anchor="rm")
        canvas.text((x, lower + 6), f"{minute:.1f} min", "black", small, anchor="ma")
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        canvas.line([place(*point) for point in line], colour, 2)
        y = upper + 20 * number
        canvas.line((right + 12, y + 8, right + 36, y + 8), colour, 3)
        canvas.text((right + 42, y), name, "black", small)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten."""
    step = 1e-3
    while True:
        for factor in (1, 2, 4, 8):
            if value <= step * factor:
                return step * factor
        step *= 10
