"""An outline encloses exactly the pixels it is of."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from node.encode.contour import outlines, simplify, trace

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def area(polygon):
    """Enclosed area, pixels (shoelace formula)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2


@given(MASKS)
def test_the_traced_area_is_the_number_of_pixels(mask):
    parts, count = ndimage.label(mask)
    for part in range(1, count + 1):
        region = parts == part
        polygon = trace(region)
        # What touches the outside at a corner is outside: eight neighbours.
        outside = ndimage.label(~np.pad(region, 1), structure=np.ones((3, 3)))[0]
        filled = outside != outside[0, 0]

        assert (polygon[0] == polygon[-1]).all()
        assert area(polygon) == np.count_nonzero(filled)


def test_a_pixel_is_outlined_by_its_corners():
    mask = np.zeros((3, 4), dtype=bool)
    mask[1, 2] = True

    (polygon,) = outlines(mask)
    assert polygon.tolist() == [[2, 1], [3, 1], [3, 2], [2, 2], [2, 1]]


def test_parts_come_largest_first_and_specks_are_left_out():
    mask = np.zeros((50, 50), dtype=bool)
    mask[0, 0] = True
    mask[5:15, 5:15] = True
    mask[20:40, 20:40] = True

    large, small = outlines(mask)
    assert (area(large), area(small)) == (400, 100)


def test_a_long_outline_is_shortened_and_keeps_its_area():
    rng = np.random.default_rng(5)
    rows, columns = np.indices((2000, 2000))
    angle = np.arctan2(rows - 1000, columns - 1000)
    radius = 700 + 30 * np.sin(40 * angle) + rng.normal(0, 2, (2000, 2000))
    mask = np.hypot(rows - 1000, columns - 1000) < radius
    mask = ndimage.binary_opening(ndimage.binary_closing(mask, iterations=3), iterations=3)

    (polygon,) = outlines(mask)
    assert len(polygon) <= 1000
    filled = ndimage.binary_fill_holes(mask)
    assert abs(area(polygon) / np.count_nonzero(filled) - 1) < 0.002


def test_a_rectangle_stays_a_rectangle():
    corners = np.array([[0, 0], [9, 0], [9, 4], [0, 4], [0, 0]], dtype=float)
    assert simplify(corners).tolist() == corners.tolist()
