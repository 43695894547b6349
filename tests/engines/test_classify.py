"""Classification: calibrated probabilities, a choice or none."""

from __future__ import annotations

import numpy as np
import pytest

from engines import registry
from engines.errors import InferenceError
from engines.tasks.activation import activate
from tests.engines import builders


def classify(tmp_path, output, **changes):
    package = builders.package(tmp_path / "t", task="classify", ndim=2, **changes)
    task = registry.task("classify")
    volumes = [builders.volume(np.zeros((1, 4, 4)))]
    prepared = task.prepare(package, volumes)
    return task.finish(package, np.array(output, np.float32), prepared, volumes)


def test_the_highest_class_is_chosen_and_all_are_reported(tmp_path):
    result = classify(tmp_path, [0.0, 2.0])
    assert result.predicted == "dark"
    assert [score.name for score in result.scores] == ["bright", "dark"]
    assert sum(score.probability for score in result.scores) == pytest.approx(1)
    assert result.scores[1].probability == pytest.approx(0.8808, abs=1e-4)
    assert result.concept.meaning == "Left-right"


def test_a_temperature_makes_the_model_less_sure(tmp_path):
    result = classify(tmp_path, [0.0, 2.0], postprocess__calibration={"temperature": 2.0})
    assert result.scores[1].probability == pytest.approx(0.7311, abs=1e-4)


@pytest.mark.parametrize(("logit", "predicted"), [(0.9, "dark"), (0.5, None), (-0.2, None)])
def test_two_exclusive_classes_abstain_by_the_probability_of_the_second(tmp_path, logit, predicted):
    result = classify(tmp_path, [0.0, logit], postprocess__abstain=[0.4, 0.7])
    assert result.predicted == predicted


def test_a_band_below_the_middle_does_not_touch_the_second_class(tmp_path):
    assert classify(tmp_path, [0.0, 0.1], postprocess__abstain=[0.3, 0.5]).predicted == "dark"


@pytest.mark.parametrize(
    ("output", "predicted"),
    [([3.0, 1.0], "bright"), ([-3.0, -1.0], None), ([0.2, -2.0], None), ([-2.0, 0.2], None)],
)
def test_independent_classes_abstain_by_the_highest(tmp_path, output, predicted):
    result = classify(
        tmp_path, output, postprocess__activation="sigmoid", postprocess__abstain=[0.45, 0.6]
    )
    assert result.predicted == predicted


def test_a_class_below_its_threshold_is_not_chosen(tmp_path):
    classes = [
        {"name": "bright", "code": ["SCT", "1", "Bright"], "threshold": 0.9},
        {"name": "dark", "code": ["SCT", "2", "Dark"], "threshold": 0.1},
    ]
    assert classify(tmp_path, [1.0, 0.0], postprocess__classes=classes).predicted == "dark"


def test_a_number_too_many_is_refused(tmp_path):
    with pytest.raises(InferenceError, match="expected 2 classes"):
        classify(tmp_path, [0.0, 1.0, 2.0])


def test_extreme_logits_do_not_overflow():
    extreme = np.array([-1e4, 0, 1e4], np.float32)
    assert activate(extreme, "sigmoid").tolist() == [0.0, 0.5, 1.0]
    assert activate(extreme, "softmax").tolist() == [0.0, 0.0, 1.0]
