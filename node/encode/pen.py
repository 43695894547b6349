"""Type and colour of the pictures: text that fits, raised exponents, outlined letters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PIL import ImageDraw, ImageFont

Color = tuple[int, int, int]

BACKGROUND: Color = (13, 17, 23)
BLACK: Color = (0, 0, 0)
PANEL: Color = (32, 38, 46)
INK: Color = (240, 243, 246)
DIM: Color = (150, 160, 172)
AMBER: Color = (255, 183, 77)

UNIT_WORDS = {"mm2": "mm^2", "cm2": "cm^2", "[hnsf'U]": "HU", "{pixels}": "pixels", "1": ""}
"""UCUM codes as they are written in a picture; a caret raises what follows."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Load the font that ships with Pillow."""
    return ImageFont.load_default(size=size)


@dataclass(frozen=True)
class Pen:
    """Writes on one page."""

    draw: ImageDraw.ImageDraw

    def text(
        self,
        at: tuple[float, float],
        words: str,
        size: int,
        color: Color,
        anchor: str = "la",
        width: int | None = None,
    ) -> None:
        """Write one line; shortened with dots where it is wider than `width` pixels."""
        shown = words
        while width is not None and len(shown) > 4 and self._length(shown, size) > width:
            shown = shown.removesuffix("...")[:-1].rstrip() + "..."
        self.draw.text(at, shown, fill=color, font=font(size), anchor=anchor)

    def quantity(self, right: int, top: int, words: str, size: int, color: Color) -> None:
        """Write a number with its unit so that it ends at `right`; ``^`` raises the rest."""
        base, _, raised = words.partition("^")
        small = round(size * 0.65)
        edge = right - self._length(raised, small) if raised else right
        self.draw.text((edge, top), base, fill=color, font=font(size), anchor="ra")
        if raised:
            self.draw.text((right, top - 1), raised, fill=color, font=font(small), anchor="ra")

    def badge(self, right: int, top: int, words: str, size: int) -> None:
        """Write dark words on an amber plate that ends at `right`."""
        width = round(self._length(words, size)) + 24
        box = (right - width, top, right, top + size + 16)
        self.draw.rounded_rectangle(box, radius=6, fill=AMBER)
        middle = (right - width / 2, top + size / 2 + 8)
        self.draw.text(middle, words, fill=BACKGROUND, font=font(size), anchor="mm")

    def outlined(
        self, at: tuple[int, int], words: str, size: int, anchor: str, color: Color = INK
    ) -> None:
        """Write light words with a dark outline, readable on any image."""
        if words:
            self.draw.text(
                at,
                words,
                fill=color,
                font=font(size),
                anchor=anchor,
                stroke_width=2,
                stroke_fill=BLACK,
            )

    def _length(self, words: str, size: int) -> float:
        return self.draw.textlength(words, font=font(size))


def with_unit(value: float, unit: str) -> str:
    """Write a number as a radiologist reads it: three or four digits and its unit.

    Areas of a square centimetre and more are shown in cm², as in a report.
    """
    if unit == "mm2" and abs(value) >= 100:
        value, unit = value / 100, "cm2"
    digits = 0 if abs(value) >= 100 or unit in {"[hnsf'U]", "{pixels}"} else 1
    if unit == "1" and abs(value) < 10:
        digits = 2
    elif 0 < abs(value) < 1:
        return f"{value:.2g} {UNIT_WORDS.get(unit, unit)}".rstrip()
    return f"{value:,.{digits}f} {UNIT_WORDS.get(unit, unit)}".replace(",", " ").rstrip()
