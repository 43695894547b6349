"""Bringing values to the range a network was trained on: each kind against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from engines.package.preprocess import (
    CtZScoreStep,
    MaskedZScoreStep,
    MinMaxStep,
    PercentileStep,
    WindowStep,
    ZScoreStep,
)
from engines.tasks.normalize import normalize
from tests.engines import builders

MASKED = MaskedZScoreStep(kind="zscore_masked")


def test_a_masked_z_score_sees_only_what_is_not_zero():
    image = np.array([0, 0, 1, 2, 3], np.float32)

    assert normalize(image, None, [MASKED]) == pytest.approx([0, 0, -(1.5**0.5), 0, 1.5**0.5])


def test_a_masked_z_score_leaves_an_empty_image_empty():
    assert not normalize(np.zeros((2, 3), np.float32), None, [MASKED]).any()


def test_a_ct_z_score_clips_and_then_takes_the_training_sets_statistics():
    step = CtZScoreStep(kind="ct_clip_zscore", lower=-100, upper=300, mean=100, std=50)
    image = np.array([-2000, -100, 100, 150, 3000], np.float32)

    assert normalize(image, None, [step]) == pytest.approx([-4, -4, 0, 1, 4])


def test_min_and_max_become_the_two_numbers():
    step = MinMaxStep(kind="minmax", b_min=-1.0, b_max=1.0)
    image = builders.noise(3, 4, 5) * 700 - 200

    result = normalize(image, None, [step])

    assert (result.min(), result.max()) == pytest.approx((-1, 1))
    assert np.argmax(result) == np.argmax(image)


def test_min_and_max_are_those_of_the_image_without_its_padding():
    step = MinMaxStep(kind="minmax")
    image = np.array([-2000, 0, 5, 10], np.float32)
    valid = np.array([False, True, True, True])

    assert normalize(image, valid, [step]) == pytest.approx([0, 0, 0.5, 1])


def test_an_image_of_one_value_becomes_the_least_result():
    step = MinMaxStep(kind="minmax", b_min=2.0, b_max=3.0)

    assert normalize(np.full(4, 7, np.float32), None, [step]) == pytest.approx([2] * 4)


@pytest.mark.parametrize(
    "step",
    [
        MASKED,
        ZScoreStep(kind="zscore"),
        CtZScoreStep(kind="ct_clip_zscore", lower=0.1, upper=0.9, mean=0.5, std=0.2),
        WindowStep(kind="window", a_min=0.2, a_max=0.8),
        PercentileStep(kind="percentile", lower=5, upper=95),
        MinMaxStep(kind="minmax", b_min=-1, b_max=1),
    ],
    ids=lambda step: step.kind,
)
def test_an_image_is_normalised_in_place_and_part_by_part_to_the_same_values(step):
    image = builders.noise(11, 6, 5)
    image[3] = 0
    valid = builders.noise(11, 6, 5, seed=1) > 0.3
    whole = normalize(image, valid, [step, step])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("engines.tasks.normalize.PART_VALUES", 70)
        assert normalize(image, valid, [step, step], out=image) is image

    assert image == pytest.approx(whole, abs=1e-6)


def test_a_z_score_has_mean_zero_and_deviation_one():
    values = normalize(builders.noise(9, 8, 7) * 50 + 1000, None, [ZScoreStep(kind="zscore")])
    assert values.mean(dtype=np.float64) == pytest.approx(0, abs=1e-4)
    assert values.std(dtype=np.float64) == pytest.approx(1, abs=1e-4)
