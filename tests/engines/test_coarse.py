"""Two passes: the coarse one finds where to look, the fine one is the plain sweep there."""

from __future__ import annotations

import numpy as np
import pytest

from engines.backends.onnx import OnnxBackend
from engines.errors import PackageError
from engines.pool import Pool
from engines.serving.work import infer
from engines.tasks.region import found
from engines.tasks.segment import SegmentTask
from tests.engines import builders
from tests.engines.device.test_sweep import TURN, convolution
from tests.engines.tensorrt.fake import Fake

WINDOWS = {"mode": "sliding_window", "patch": [8, 8, 8], "overlap": 0.5, "batch": 2}
SPACING = {"preprocess__spacing_mm": [1.5, 1.5, 1.5]}
OWN = {"spacing_mm": [3.0, 3.0, 3.0], "margin_mm": 4.0}
GRID = builders.grid((40, 44, 48), spacing=(1.0, 1.2, 1.4), turn=TURN)


def image(*, at=(slice(4, 14), slice(20, 32), slice(8, 20))):
    """Make a bright organ with some structure in a dark image; `at` None: the dark image alone."""
    voxels = 0.2 * builders.noise(*GRID.shape)
    if at is not None:
        voxels[at] = 0.6 + 0.4 * builders.noise(*(part.stop - part.start for part in at), seed=1)
    return builders.volume(voxels, on=GRID)


def pool_of(models, *, backend="onnx", coarse=None, others=(), **changes):
    """Write the package, plain and with a coarse pass, and open a pool on both."""
    settings = {"preprocess__orientation": "LPS", **SPACING, **changes}
    builders.package(models / "plain", metadata__name="plain", infer=WINDOWS, **settings)
    infer = {**WINDOWS, "coarse": coarse or OWN}
    builders.package(models / "quick", metadata__name="quick", infer=infer, **settings)
    for name, more in others:
        builders.package(models / name, metadata__name=name, **more)
    return Pool(models, backend)


def assert_same_inside(quick, plain, region):
    """The labels in the region are those of the plain sweep, all outside is background."""
    assert plain.labelmap[region].any(), "the example shows nothing"
    assert np.array_equal(quick.labelmap[region], plain.labelmap[region])
    outside = quick.labelmap.copy()
    outside[region] = 0
    assert not outside.any()


def region_of(pool, volume, *, margin_mm=4.0, labels=(), name="quick", spacing=(3.0, 3.0, 3.0)):
    """Find the region as the coarse pass does."""
    package = pool.catalogue.get(name).at_spacing(spacing)
    task, session = SegmentTask(), OnnxBackend(threads=1).load(package, device="cpu")
    prepared = task.prepare(package, [volume])
    result = task.finish(package, infer(package, session, prepared), prepared, [volume])
    return found(result.labelmap, volume.grid, labels, margin_mm)


def test_inside_the_region_the_labels_are_those_of_the_plain_sweep(tmp_path):
    with pool_of(tmp_path) as pool:
        plain, _ = pool.run("plain", None, [image()])
        quick, provenance = pool.run("quick", None, [image()])
        region = region_of(pool, image())
    assert_same_inside(quick, plain, region)
    (note,) = provenance.notes
    assert note.startswith("coarse pass by quick 1.0.0: fine pass on ")
    assert "% of the image" in note


@pytest.mark.parametrize("crop", [None, {"above": 0.05, "margin_mm": 2.0}])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_network_that_looks_around_gives_the_same_labels_too(tmp_path, crop, activation):
    labels = {n: {**builders.LUNG, "name": str(n)} for n in (1, 2)}
    changes = {
        "model": convolution(1, 3),
        "model__outputs": [{"name": "logits", "kind": "logits", "channels": 3}],
        "postprocess__activation": activation,
        "postprocess__labels": labels,
        "preprocess__crop": crop,
    }
    others = [("finder", {"infer": WINDOWS, **SPACING})]
    coarse = {"package": "finder", "margin_mm": 5.0}
    with pool_of(tmp_path, coarse=coarse, others=others, **changes) as pool:
        plain, _ = pool.run("plain", None, [image()])
        quick, _ = pool.run("quick", None, [image()])
        seen, _ = pool.run("finder", None, [image()])
    assert_same_inside(quick, plain, found(seen.labelmap, GRID, (), 5.0))


def test_fewer_windows_are_run(tmp_path):
    fakes = []
    for name in ("plain", "quick"):
        fake = Fake()
        backend = fake.backend(tmp_path / f"plans of {name}")
        with pool_of(tmp_path / name, backend=backend) as pool:
            list(pool.make_ready([name], lambda phase, done, steps: None))
            pool.preload([name])
            fake.calls.clear()
            result, provenance = pool.run(name, None, [image()])
        fakes.append((fake.counted()["execute_async_v3"], result, provenance))
    (many, plain, _), (few, quick, provenance) = fakes
    assert 0 < few < many / 2
    assert quick.labelmap.any()
    inside = quick.labelmap > 0
    assert (plain.labelmap[inside] == 1).mean() > 0.999
    assert provenance.notes[0] == "coarse pass: swept on the device"
    assert provenance.notes[-1] == "swept on the device"


def test_where_the_coarse_pass_finds_nothing_the_result_is_empty_and_says_so(tmp_path):
    with pool_of(tmp_path) as pool:
        result, provenance = pool.run("quick", None, [image(at=None)])
    assert not result.labelmap.any()
    assert result.labelmap.shape == GRID.shape
    assert [label.name for label in result.labels] == ["lung"]
    assert result.measurements == ()
    assert provenance.notes == ("coarse pass by quick 1.0.0 found nothing: no fine pass",)
    assert provenance.model == "quick"


def test_clean_up_and_measurements_are_of_what_the_fine_pass_found(tmp_path):
    changes = {
        "postprocess__measurements": ["volume_ml"],
        "postprocess__steps": [{"keep_largest": {"labels": [1]}}],
    }
    with pool_of(tmp_path, **changes) as pool:
        plain, _ = pool.run("plain", None, [image()])
        quick, _ = pool.run("quick", None, [image()])
    assert quick.measurements == plain.measurements
    assert quick.measurements[0].value > 0


def test_only_the_labels_that_are_named_make_the_region(tmp_path):
    coarse = {"package": "finder", "labels": [2], "margin_mm": 0.0}
    two = {
        "infer": WINDOWS,
        **SPACING,
        "model__outputs": [{"name": "logits", "kind": "logits", "channels": 2}],
        "postprocess__activation": "sigmoid",
        "postprocess__labels": {1: builders.LUNG, 2: builders.HEART},
    }
    with pool_of(tmp_path, coarse=coarse, others=[("finder", two)]) as pool:
        seen, _ = pool.run("finder", None, [image()])
        quick, _ = pool.run("quick", None, [image()])
    assert set(np.unique(seen.labelmap)) == {1, 2}, "the example shows nothing"
    region = found(seen.labelmap, GRID, [2], 0.0)
    assert quick.labelmap[region].any()


def test_a_coarse_package_that_is_not_there_is_named(tmp_path):
    coarse = {"package": "finder"}
    with (
        pool_of(tmp_path, coarse=coarse) as pool,
        pytest.raises(PackageError, match="no model package finder"),
    ):
        pool.run("quick", None, [image()])


def test_a_coarse_package_that_gives_no_labels_is_a_mistake_of_the_package(tmp_path):
    coarse, classifier = {"package": "finder"}, {"task": "classify"}
    with (
        pool_of(tmp_path, coarse=coarse, others=[("finder", classifier)]) as pool,
        pytest.raises(PackageError, match="coarse package finder of quick gives no labels"),
    ):
        pool.run("quick", None, [image()])


@pytest.mark.parametrize(
    ("coarse", "says"),
    [
        ({"margin_mm": 1.0}, "infer.coarse: coarse has either package or spacing_mm"),
        ({"package": "other", "spacing_mm": [3.0, 3.0, 3.0]}, "either package or spacing_mm"),
        ({"package": "tiny"}, "infer.coarse.package: the first pass of this network itself"),
        ({"spacing_mm": [3.0, 1.0, 3.0]}, "infer.coarse.spacing_mm: is finer than"),
        ({"spacing_mm": [3.0, 3.0, 3.0], "labels": [7]}, "label 7 is not among"),
    ],
)
def test_a_coarse_pass_that_makes_no_sense_is_refused(tmp_path, coarse, says):
    with pytest.raises(PackageError, match=says):
        builders.package(tmp_path / "tiny", infer={**WINDOWS, "coarse": coarse}, **SPACING)


def test_a_coarse_pass_is_for_windows_and_needs_a_fine_spacing(tmp_path):
    with pytest.raises(PackageError, match="only task segment in mode sliding_window has coarse"):
        builders.package(tmp_path / "tiny", infer__coarse={"package": "other"})
    with pytest.raises(PackageError, match=r"needs a fine one: preprocess\.spacing_mm"):
        builders.package(tmp_path / "small", infer={**WINDOWS, "coarse": OWN})


def test_the_packages_that_a_rule_needs_include_those_its_models_ask(tmp_path):
    others = [("finder", {"infer": WINDOWS, **SPACING}), ("unused", {})]
    with pool_of(tmp_path, coarse={"package": "finder"}, others=others) as pool:
        assert pool.catalogue.with_others(["quick"]) == ["finder", "quick"]
        assert pool.catalogue.with_others(["plain"]) == ["plain"]
