"""A result survives the way through its file unchanged, whoever defined its type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from engines.types import (
    BoolArray,
    Code,
    FloatArray,
    Label,
    Measurement,
    Provenance,
    Result,
    SegmentationResult,
)
from node.encode.base import write
from node.errors import PermanentError
from node.work.product import dump_product, load_product
from tests.encode.conftest import LEFT, RIGHT, view_of

PROVENANCE = Provenance("lungs", "1.2.0", "cd" * 32, "onnx", "cpu", 1.25, ("faster", "on a CPU"))


@dataclass(frozen=True)
class Landmark:
    """A place, and how sure the model is."""

    code: Code
    point_mm: tuple[float, float, float]
    confidence: float | None


@dataclass(frozen=True)
class Landmarks(Result):
    """A result type of somebody else."""

    found: tuple[Landmark, ...]
    heatmap: FloatArray
    valid: BoolArray | None
    reviewed: bool = False


@write.register
def _(result: Landmarks, case):
    return []


def there_and_back(result, folder):
    path = folder / "result.npz"
    path.write_bytes(dump_product(result, PROVENANCE))
    return load_product(path)


def test_a_segmentation_comes_back_as_it_was(tmp_path):
    labelmap = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    measured = (Measurement(2, "volume", 0.1 + 0.2, "ml"), Measurement(5, "mean", -800.0, "1"))
    result = SegmentationResult(labelmap, (RIGHT, LEFT), measured)

    loaded, provenance = there_and_back(result, tmp_path)

    assert isinstance(loaded, SegmentationResult)
    assert loaded.labelmap.dtype == np.uint8
    assert np.array_equal(loaded.labelmap, labelmap)
    assert loaded.labels == (RIGHT, LEFT)
    assert all(isinstance(each, Label) for each in loaded.labels)
    assert loaded.measurements == measured
    assert provenance == PROVENANCE


@pytest.mark.parametrize("predicted", ["PA", None])
def test_a_classification_comes_back_as_it_was(tmp_path, predicted):
    assert there_and_back(view_of(predicted), tmp_path) == (view_of(predicted), PROVENANCE)


@pytest.mark.parametrize("valid", [None, np.array([True, False])])
def test_a_result_type_that_the_core_does_not_know_comes_back_as_it_was(tmp_path, valid):
    carina = Landmark(Code("28700002", "SCT", "Carina"), (1.0, -2.5, 3e-9), None)
    heatmap = np.linspace(0, 1, 6, dtype=np.float32).reshape(1, 2, 3)

    loaded, _ = there_and_back(Landmarks((carina, carina), heatmap, valid), tmp_path)

    assert isinstance(loaded, Landmarks)
    assert loaded.found == (carina, carina)
    assert loaded.heatmap.dtype == np.float32
    assert np.array_equal(loaded.heatmap, heatmap)
    assert loaded.valid is None if valid is None else np.array_equal(loaded.valid, valid)
    assert loaded.reviewed is False


def test_the_same_result_gives_the_same_bytes():
    assert dump_product(view_of("PA"), PROVENANCE) == dump_product(view_of("PA"), PROVENANCE)


def test_a_field_that_cannot_be_kept_is_refused_by_its_type():
    result = Landmarks((), np.zeros(1, np.float32), None, reviewed={"yes"})

    with pytest.raises(PermanentError, match="a result holds a set, which cannot be kept"):
        dump_product(result, PROVENANCE)


def test_a_product_holds_no_pickle(tmp_path):
    result = Landmarks((), np.array([object()]), None)

    with pytest.raises(PermanentError, match="array of object"):
        dump_product(result, PROVENANCE)
