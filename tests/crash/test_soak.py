"""How a soak judges memory."""

from __future__ import annotations

from PIL import Image

from benchmarks.soak import MOST_GROWTH, growth
from benchmarks.soak_chart import Panel, draw


def samples(of):
    """Ten minutes, a sample a second."""
    return [(float(second), of(second)) for second in range(600)]


def test_a_process_that_fills_its_caches_and_then_stays_has_not_grown():
    slope, part = growth(samples(lambda second: 100.0 + min(second, 240)))

    assert abs(slope) < 1e-6
    assert part < MOST_GROWTH


def test_a_process_that_leaks_has_grown():
    slope, part = growth(samples(lambda second: 100.0 + 0.05 * second))

    assert abs(slope - 3.0) < 1e-6
    assert part > MOST_GROWTH


def test_the_chart_shows_every_line_in_its_own_colour(tmp_path):
    lines = {"one": [(0.0, 1.0), (1.0, 1.0)], "two": [(0.0, 2.0), (1.0, 2.0)]}

    draw([Panel("lines", lines)], tmp_path / "chart.png")

    with Image.open(tmp_path / "chart.png") as image:
        colours = {colour for _, colour in image.getcolors(maxcolors=1_000_000)}
    assert {(0x1F, 0x77, 0xB4), (0xD6, 0x27, 0x28)} <= colours
