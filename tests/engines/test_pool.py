"""The lane: warm sessions, one call at a time."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from engines.errors import BackendUnavailable, EngineError, NotApplicable, PackageError
from engines.pool import Pool
from tests.engines import builders


@pytest.fixture
def models(tmp_path):
    builders.package(tmp_path / "segment", metadata__name="segment")
    builders.package(tmp_path / "classify", task="classify", ndim=2, metadata__name="classify")
    return tmp_path


def test_a_segmentation_comes_with_what_made_it(models):
    voxels = np.zeros((3, 4, 5))
    voxels[1, 2, 3] = 1
    with Pool(models) as pool:
        result, provenance = pool.run("segment", None, [builders.volume(voxels)])

    assert np.array_equal(result.labelmap, voxels.astype(np.uint8))
    assert (provenance.model, provenance.version) == ("segment", "1.0.0")
    assert (provenance.backend, provenance.device) == ("onnx", "cpu")
    assert len(provenance.weights_sha256) == 64
    assert provenance.seconds > 0
    assert provenance.notes == ()


def test_a_classification_comes_from_the_whole_image(models):
    with Pool(models, threads=1) as pool:
        result, _ = pool.run("classify", "1.0.0", [builders.volume(np.full((1, 4, 4), 2.0))])
    assert result.predicted == "bright"


def test_a_model_that_is_not_there_is_named(models):
    with Pool(models) as pool, pytest.raises(PackageError, match="no model package brain"):
        pool.run("brain", None, [])


def test_a_package_for_gpus_only_does_not_run_on_the_cpu(models):
    builders.package(models / "big", metadata__name="big", runtime={"cpu": "never"})
    with Pool(models) as pool, pytest.raises(BackendUnavailable, match="does not allow the CPU"):
        pool.preload(["big"])


def test_a_fast_only_package_overlaps_less_on_the_cpu_and_says_so(models):
    builders.package(
        models / "slow",
        metadata__name="slow",
        runtime={"cpu": "fast-only"},
        infer={"mode": "sliding_window", "patch": [2, 2, 2]},
    )
    with Pool(models) as pool:
        _, provenance = pool.run("slow", None, [builders.volume(builders.noise(4, 4, 4))])
    assert provenance.notes == ("windows overlap by 0.25 instead of 0.5 on the CPU",)


def test_a_warm_model_is_not_read_again(models):
    with Pool(models) as pool:
        pool.preload(["segment"])
        (models / "segment" / "model.onnx").unlink()
        pool.run("segment", None, [builders.volume(builders.noise(2, 3, 4))])


def test_the_model_unused_for_longest_makes_room(models):
    with Pool(models, keep=1) as pool:
        pool.preload(["segment", "classify"])
        (models / "segment" / "model.onnx").unlink()
        with pytest.raises(PackageError, match=r"model\.onnx: No such file"):
            pool.run("segment", None, [builders.volume(builders.noise(2, 3, 4))])


def test_calls_from_several_threads_get_their_own_answers(models):
    answers = {}

    def work(number):
        voxels = np.zeros((2, 3, 8))
        voxels[..., number] = 1
        answers[number] = pool.run("segment", None, [builders.volume(voxels)])[0].labelmap

    with Pool(models) as pool:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert all(np.all(answers[number][..., number] == 1) for number in range(8))
    assert all(answers[number].sum() == 6 for number in range(8))


def test_a_closed_pool_says_so(models):
    pool = Pool(models)
    pool.close()
    pool.close()
    with pytest.raises(EngineError, match="the pool is closed"):
        pool.run("segment", None, [builders.volume(builders.noise(2, 3, 4))])


def gated(models, **gate):
    """Add a 2D segmentation that asks a classifier first."""
    builders.package(models / "gated", ndim=2, metadata__name="gated", gate=gate)


def test_a_gate_that_refuses_keeps_the_model_from_the_image_and_says_why(models):
    gated(models, package="classify", refuse=["bright"])
    with Pool(models) as pool:
        with pytest.raises(NotApplicable, match=r"classify 1\.0\.0 says bright .* gated does not"):
            pool.run("gated", None, [builders.volume(np.full((1, 4, 4), 2.0))])
        result, _ = pool.run("gated", None, [builders.volume(np.full((1, 4, 4), -2.0))])

    assert not result.labelmap.any()


def test_a_gate_that_is_not_there_is_named(models):
    gated(models, package="doorman", refuse=["bright"])
    with Pool(models) as pool, pytest.raises(PackageError, match="no model package doorman"):
        pool.run("gated", None, [builders.volume(np.zeros((1, 4, 4)))])


def test_a_gate_that_is_no_classifier_is_a_mistake_of_the_package(models):
    gated(models, package="other", refuse=["bright"])
    builders.package(models / "other", ndim=2, metadata__name="other")
    with Pool(models) as pool, pytest.raises(PackageError, match="is no classifier"):
        pool.run("gated", None, [builders.volume(np.zeros((1, 4, 4)))])
