"""Cleaning label maps."""

from __future__ import annotations

import numpy as np
import pytest

from engines.package.postprocess import Step
from engines.tasks.morphology import clean
from tests.engines import builders


def labels(*rows: str):
    return np.array([[[int(letter) for letter in row] for row in rows]], np.uint8)


def cleaned(labelmap, **step):
    return clean(labelmap, builders.grid(labelmap.shape), [Step.model_validate(step)])


def test_only_the_largest_piece_of_each_label_stays():
    before = labels("110010", "110202", "000022")
    after = cleaned(before, keep_largest={"labels": [1, 2]})
    assert np.array_equal(after, labels("110000", "110002", "000022"))


def test_as_many_pieces_stay_as_asked_for():
    before = labels("1110", "0001", "1100")
    after = cleaned(before, keep_largest={"labels": [1], "components": 2})
    assert np.array_equal(after, labels("1110", "0000", "1100"))


def test_pieces_that_touch_at_a_corner_are_two():
    after = cleaned(labels("110", "001"), keep_largest={"labels": [1]})
    assert np.array_equal(after, labels("110", "000"))


def test_other_labels_are_left_alone():
    before = labels("1012", "0002")
    assert np.array_equal(cleaned(before, keep_largest={"labels": [2]}), before)


def test_an_enclosed_background_is_filled_and_another_label_in_it_is_not():
    before = labels("111110", "102010", "111110")
    after = cleaned(before, fill_holes={"labels": [1]})
    assert np.array_equal(after, labels("111110", "112110", "111110"))


def test_a_bay_at_the_edge_is_no_hole():
    before = labels("101", "101", "111")
    assert np.array_equal(cleaned(before, fill_holes={"labels": [1]}), before)


def test_in_a_volume_a_tunnel_is_no_hole_but_a_cavity_is():
    cube = np.ones((3, 3, 3), np.uint8)
    cube[1, 1, 1] = 0
    assert cleaned(cube, fill_holes={"labels": [1]}).all()

    cube[:, 1, 1] = 0
    assert np.array_equal(cleaned(cube, fill_holes={"labels": [1]}), cube)


def test_pieces_below_a_volume_go():
    before = labels("1110", "0000", "0011")
    after = cleaned(before, min_volume_ml={1: 0.0025})  # a voxel has 1 mm3
    assert np.array_equal(after, labels("1110", "0000", "0000"))


def test_pieces_below_a_share_of_the_image_go():
    after = cleaned(labels("1110", "0000", "0011"), min_area_fraction={1: 0.25})
    assert np.array_equal(after, labels("1110", "0000", "0000"))


@pytest.mark.parametrize(
    "step", [{"keep_largest": {"labels": [9]}}, {"fill_holes": {"labels": [9]}}]
)
def test_a_label_that_is_not_there_changes_nothing_and_the_input_never_changes(step):
    before = labels("101")
    kept = before.copy()
    assert np.array_equal(cleaned(before, **step), kept)
    assert np.array_equal(before, kept)
