"""Segmentation: labels lie where the structure is, on exactly the source's grid."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from engines import registry
from engines.api import Slab, WindowPlan
from engines.errors import InferenceError, InputError, PackageError
from engines.grid import Sampling
from engines.serving.work import infer
from engines.tasks.segment import label_map
from tests.engines import builders
from tests.engines.device.test_sweep import convolution
from tests.engines.test_grid import SIGNED_PERMUTATIONS, centres


def segment(package, *volumes):
    task = registry.task("segment")
    session = registry.backend("onnx", threads=1).load(package, device="cpu")
    prepared = task.prepare(package, volumes)
    return task.finish(package, infer(package, session, prepared), prepared, volumes)


@pytest.fixture(scope="module")
def sweeping(tmp_path_factory):
    """A package that turns, resamples and sweeps, and labels what is brighter than 0.5."""
    return builders.package(
        tmp_path_factory.mktemp("sweeping") / "tiny",
        preprocess__orientation="LPS",
        preprocess__spacing_mm=[1.5, 1.5, 1.5],
        infer__mode="sliding_window",
        infer__patch=[8, 8, 8],
        infer__overlap=0.5,
        postprocess__measurements=["volume_ml", "mean_hu", "extent_mm"],
    )


def ball(grid, centre, radius):
    where = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return np.linalg.norm(centres(grid, where) - centre, axis=-1) <= radius


def dice(one, other):
    return 2 * np.sum(one & other) / (np.sum(one) + np.sum(other))


@pytest.mark.parametrize("turn", SIGNED_PERMUTATIONS[::5])
def test_left_stays_left_and_head_stays_head_however_the_slices_lie(sweeping, turn):
    grid = builders.grid((16, 24, 28), spacing=(2.0, 1.2, 1.0), turn=turn)
    middle = centres(grid, (np.array(grid.shape) - 1) / 2)
    mask = ball(grid, middle + np.array([3.0, -2.0, 4.0]), 7.0)

    result = segment(sweeping, builders.volume(mask.astype(np.float32), on=grid))

    assert result.labelmap.dtype == np.uint8
    assert result.labelmap.shape == grid.shape
    assert dice(result.labelmap == 1, mask) > 0.93


@given(st.integers(0, 2**32 - 1))
def test_an_oblique_anisotropic_volume_returns_to_its_own_grid(sweeping, seed):
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.uniform(0.8, 3.0, 3))
    turn = Rotation.random(rng=rng).as_matrix()
    shape = tuple(int(28 / step) for step in spacing)
    grid = builders.grid(shape, spacing=spacing, turn=turn)
    mask = ball(grid, centres(grid, (np.array(shape) - 1) / 2), 9.0)

    result = segment(sweeping, builders.volume(mask.astype(np.float32), on=grid))

    assert result.labelmap.shape == shape
    assert dice(result.labelmap == 1, mask) > 0.85


def test_measurements_are_of_the_final_mask_in_the_patient_frame(sweeping):
    grid = builders.grid((10, 20, 30), spacing=(3.0, 1.5, 1.5), turn=np.diag([-1.0, 1.0, 1.0]))
    voxels = np.zeros(grid.shape, np.float32)
    voxels[2:6, 4:14, 5:25] = 1.0

    result = segment(sweeping, builders.volume(voxels, on=grid))
    found = {(each.name, each.unit): each.value for each in result.measurements}

    assert found["volume", "ml"] == pytest.approx(np.sum(result.labelmap) * 6.75 / 1000)
    assert found["mean", "[hnsf'U]"] == pytest.approx(voxels[result.labelmap == 1].mean())
    assert found["standard_deviation", "[hnsf'U]"] >= 0
    assert found["extent_craniocaudal", "mm"] == pytest.approx(12.0)
    assert found["extent_anteroposterior", "mm"] == pytest.approx(15.0)
    assert found["extent_transverse", "mm"] == pytest.approx(30.0)


def test_a_label_that_is_not_there_is_not_measured(sweeping):
    result = segment(sweeping, builders.volume(np.zeros((8, 9, 10), np.float32)))
    assert not result.labelmap.any()
    assert result.measurements == ()
    assert [label.name for label in result.labels] == ["lung"]


def test_a_volume_of_one_value_divides_nothing_by_zero(tmp_path):
    steps = [{"kind": "zscore"}, {"kind": "percentile", "lower": 1, "upper": 99}]
    package = builders.package(tmp_path / "t", preprocess__normalize=steps)
    assert not segment(package, builders.volume(np.full((3, 4, 5), 7.0))).labelmap.any()


def radiograph(voxels, *, spacing_known=True, padding=None):
    on = builders.grid(
        voxels.shape, spacing=(1.0, 0.2, 0.1), patient_frame=False, spacing_known=spacing_known
    )
    return builders.volume(voxels, on=on, unit="1", padding=padding)


def flat(tmp_path, **changes):
    return builders.package(tmp_path / "flat", ndim=2, **changes)


def test_a_radiograph_is_letterboxed_and_its_labels_lie_on_its_own_pixels(tmp_path):
    package = flat(
        tmp_path,
        preprocess__resize={"size": [32, 32]},
        preprocess__normalize=[{"kind": "percentile", "lower": 0, "upper": 100}],
        postprocess__measurements=["area_mm2", "extent_mm", "volume_ml"],
    )
    voxels = np.full((1, 120, 80), 200.0)
    voxels[0, 30:90, 10:30] = 900.0

    result = segment(package, radiograph(voxels))

    assert result.labelmap.shape == (1, 120, 80)
    assert dice(result.labelmap == 1, voxels == 900.0) > 0.95
    found = {each.name: (each.value, each.unit) for each in result.measurements}
    assert set(found) == {"area", "extent_vertical", "extent_horizontal"}
    assert found["area"] == (pytest.approx(np.sum(result.labelmap) * 0.02), "mm2")
    assert found["extent_vertical"][0] == pytest.approx(12.0, abs=0.5)
    assert found["extent_horizontal"][0] == pytest.approx(2.0, abs=0.3)


def test_without_a_known_spacing_areas_are_pixels(tmp_path):
    package = flat(tmp_path, postprocess__measurements=["area_mm2"])
    voxels = np.zeros((1, 10, 10))
    voxels[0, 2:5, 2:6] = 1

    (area,) = segment(package, radiograph(voxels, spacing_known=False)).measurements
    assert (area.value, area.unit) == (12.0, "{pixels}")


def test_a_slice_model_sees_each_slice_for_itself(tmp_path):
    package = flat(
        tmp_path,
        infer__mode="slice",
        infer__batch=2,
        preprocess__normalize=[{"kind": "percentile", "lower": 0, "upper": 100}],
    )
    voxels = np.zeros((5, 6, 7), np.float32)
    for k in range(5):
        voxels[k, :, k] = 10.0**k

    labelmap = segment(package, builders.volume(voxels)).labelmap
    assert np.array_equal(labelmap, (voxels > 0).astype(np.uint8))


def test_padding_counts_for_no_statistics_and_no_mean(tmp_path):
    package = flat(
        tmp_path,
        preprocess__normalize=[{"kind": "percentile", "lower": 0, "upper": 100}],
        postprocess__measurements=["mean_hu"],
    )
    voxels = np.full((1, 8, 8), 100.0)
    voxels[0, 2:4] = 200.0
    voxels[0, 6:] = -32768.0
    voxels[0, 7, 7] = np.nan
    padding = np.zeros(voxels.shape, np.bool_)
    padding[0, 6:] = True

    result = segment(package, radiograph(voxels, padding=padding))

    assert np.array_equal(result.labelmap[0].any(axis=1), np.arange(8) // 2 == 1)
    assert result.measurements[0].value == 200.0


def test_sigmoid_labels_have_no_background_channel_and_the_highest_wins(tmp_path):
    package = builders.package(
        tmp_path / "t",
        model=builders.network(channels=2),
        model__inputs=[
            {"name": "image", "layout": "NCDHW", "channels": [{"name": "a"}, {"name": "b"}]}
        ],
        postprocess__activation="sigmoid",
        postprocess__labels={1: builders.LUNG, 2: builders.HEART},
    )
    first = np.array([[[-1.0, 0.0, 2.0, 1.0, -1.0]]])
    second = np.array([[[-1.0, -1.0, 1.0, 2.0, 3.0]]])
    result = segment(package, builders.volume(first), builders.volume(second))
    assert result.labelmap.tolist() == [[[0, 1, 1, 2, 2]]]


def test_probabilities_are_kept_where_the_package_asks_for_them(tmp_path):
    channels = [{"name": name} for name in "ab"]
    package = builders.package(
        tmp_path / "t",
        model=builders.network(channels=2),
        model__inputs=[{"name": "image", "layout": "NCDHW", "channels": channels}],
        postprocess__activation="sigmoid",
        postprocess__labels={1: builders.LUNG, 2: builders.HEART},
        output__probabilities=True,
    )
    first = np.array([[[-1.0, 0.0, 2.0, 1.0, -1.0]]])
    second = np.array([[[-1.0, -1.0, 1.0, 2.0, 3.0]]])
    result = segment(package, builders.volume(first), builders.volume(second))

    assert result.labelmap.tolist() == [[[0, 1, 1, 2, 2]]]
    expected = np.rint(255 / (1 + np.exp(-np.stack([first, second]))))
    assert np.abs(result.probabilities - expected).max() <= 1


def test_a_channel_without_a_label_is_background(tmp_path):
    model = builders.network(channels=3)
    channels = [{"name": name} for name in "abc"]
    package = builders.package(
        tmp_path / "t",
        model=model,
        model__inputs=[{"name": "image", "layout": "NCDHW", "channels": channels}],
        model__outputs=[{"name": "logits", "kind": "logits", "channels": 3}],
        postprocess__labels={2: builders.LUNG},
    )
    images = [np.array([[[float(k == c) for k in range(3)]]]) for c in range(3)]
    result = segment(package, *[builders.volume(image) for image in images])
    assert result.labelmap.tolist() == [[[0, 0, 2]]]


def straightforward(output, sampling, activation):
    """All probabilities of the whole volume at once, each axis interpolated by NumPy."""
    if activation == "softmax":
        powers = np.exp(output.astype(np.float64))
        values = powers / powers.sum(axis=0)
    else:
        values = 1 / (1 + np.exp(-output.astype(np.float64)))
    for axis, (have, want) in enumerate(zip(sampling.content, sampling.source, strict=True)):
        places = (np.arange(want) + 0.5) * have / want - 0.5
        values = np.apply_along_axis(
            lambda line, at=places: np.interp(at, np.arange(len(line)), line), axis + 1, values
        )
    if activation == "softmax":
        return values.argmax(axis=0)
    return np.where(values.max(axis=0) >= 0.5, values.argmax(axis=0) + 1, 0)


@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.tuples(*[st.integers(1, 12)] * 3),
    st.sampled_from(["softmax", "sigmoid"]),
    st.lists(st.integers(1, 5), min_size=12, max_size=12),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_slabs_of_any_thickness_give_the_labels_of_the_whole(
    source, content, activation, thicknesses, at_once, seed
):
    rng = np.random.default_rng(seed)
    output = rng.normal(0, 3, (4, *content)).astype(np.float32)
    sampling = Sampling(source, content, content)
    ends = [0, *(end for end in np.cumsum(thicknesses) if end < content[0]), content[0]]
    slabs = [Slab(start, output[:, start:end].copy()) for start, end in pairwise(ends)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("engines.tasks.segment.SLAB_VOXELS", at_once)
        found = label_map(slabs, sampling, activation)

    assert np.array_equal(found, straightforward(output, sampling, activation))


def test_labels_are_chosen_while_slabs_come(sweeping):
    channels, slices = 32, 120
    sampling = Sampling((2 * slices, 40, 40), (slices, 20, 20), (slices, 20, 20))

    def slabs():
        for start in range(0, slices, 4):
            yield Slab(start, builders.noise(channels, 4, 20, 20, seed=start))

    tracemalloc.start()
    try:
        labelmap = label_map(slabs(), sampling, "softmax")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert labelmap.any()
    one = 4 * channels * 4 * 20 * 20
    whole = one * slices // 4
    chunks = 4 * labelmap.size
    assert peak < labelmap.nbytes + 8 * one + chunks < whole


@pytest.mark.parametrize(
    ("starts", "says"),
    [([0, 5], "goes on at slice 5, expected 4"), ([0], "has 4 slices, expected")],
)
def test_slabs_with_a_gap_are_refused(sweeping, starts, says):
    task = registry.task("segment")
    volumes = [builders.volume(builders.noise(9, 12, 13))]
    prepared = task.prepare(sweeping, volumes)
    rows, columns = prepared.grid.shape[1:]
    slabs = iter([Slab(k, np.zeros((2, 4, rows, columns), np.float32)) for k in starts])
    with pytest.raises(InferenceError, match=says):
        task.finish(sweeping, slabs, prepared, volumes)


def test_a_body_in_air_is_cut_out_and_its_labels_lie_where_it_is(tmp_path):
    changes = {
        "preprocess__orientation": "LPS",
        "preprocess__spacing_mm": [1.5, 1.5, 1.5],
        "infer__mode": "sliding_window",
        "infer__patch": [8, 8, 8],
        "preprocess__normalize": [{"kind": "window", "a_min": -1000, "a_max": 1800}],
    }
    cropping = builders.package(
        tmp_path / "c", preprocess__crop={"above": -400, "margin_mm": 4}, **changes
    )
    grid = builders.grid((30, 44, 40), spacing=(2.0, 1.2, 1.0), turn=np.diag([-1.0, 1.0, -1.0]))
    voxels = np.full(grid.shape, -1000.0)
    voxels[8:20, 20:36, 6:24] = 0.0
    voxels[10:18, 24:34, 8:20] = 800.0
    volume = builders.volume(voxels, on=grid)

    prepared = registry.task("segment").prepare(cropping, [volume])
    # 12, 16 and 18 voxels of 2, 1.2 and 1 mm, and on each side as many as 4 mm begin.
    assert prepared.grid.shape == (21, 19, 17)
    cut = segment(cropping, volume).labelmap
    assert cut.shape == grid.shape
    assert dice(cut == 1, voxels == 800.0) > 0.9
    whole = segment(builders.package(tmp_path / "w", **changes), volume).labelmap
    assert dice(cut == 1, whole == 1) > 0.95


def test_an_image_without_anything_above_the_value_is_not_cut(tmp_path):
    package = builders.package(tmp_path / "t", preprocess__crop={"above": 5, "margin_mm": 1})
    prepared = registry.task("segment").prepare(package, [builders.volume(np.ones((3, 4, 5)))])
    assert prepared.tensor.shape == (1, 3, 4, 5)


def test_padding_is_no_foreground(tmp_path):
    package = builders.package(tmp_path / "t", preprocess__crop={"above": 5})
    voxels = np.zeros((3, 4, 5))
    voxels[0] = voxels[2, 1:3, 4] = 9
    padding = np.zeros(voxels.shape, np.bool_)
    padding[0] = True
    volume = builders.volume(voxels, padding=padding)
    prepared = registry.task("segment").prepare(package, [volume])
    assert np.array_equal(prepared.tensor, np.full((1, 1, 2, 1), 9))
    assert np.array_equal(segment(package, volume).labelmap == 1, (voxels == 9) & ~padding)


def test_an_image_is_prepared_in_the_memory_of_the_input_and_a_few_slices(sweeping):
    voxels = builders.noise(96, 160, 160)
    padding = np.zeros(voxels.shape, np.bool_)
    padding[:, :8] = True
    volume = builders.volume(voxels, on=builders.grid(voxels.shape), padding=padding)

    tracemalloc.start()
    try:
        prepared = registry.task("segment").prepare(sweeping, [volume])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # Where the voxels are valid takes a byte for each.
    assert peak - prepared.tensor.nbytes < padding.nbytes + voxels.nbytes // 4


def test_a_margin_in_mm_needs_a_spacing(tmp_path):
    package = builders.package(tmp_path / "t", preprocess__crop={"above": 5, "margin_mm": 1})
    image = radiograph(np.ones((1, 4, 4)), spacing_known=False)
    with pytest.raises(InputError, match="the image does not say its spacing"):
        registry.task("segment").prepare(package, [image])


@pytest.mark.parametrize(
    ("changes", "skipped"),
    [
        ({}, (20.0, -20.0)),
        (
            {"postprocess__activation": "sigmoid", "postprocess__labels": {2: builders.LUNG}},
            (-20.0, -20.0),
        ),
        (
            {
                "postprocess__activation": "none",
                "model__outputs": [{"name": "logits", "kind": "probabilities", "channels": 2}],
            },
            (1.0, 0.0),
        ),
    ],
)
def test_windows_of_the_least_value_are_skipped_where_the_manifest_says_so(
    tmp_path, changes, skipped
):
    package = builders.package(
        tmp_path / "t",
        infer__mode="sliding_window",
        infer__patch=[2, 2, 2],
        infer__skip_empty=True,
        **changes,
    )
    voxels = np.full((2, 4, 6), 0.25)
    voxels[:, 2:, 4:] = 1
    volume = builders.volume(voxels)
    plan = registry.task("segment").prepare(package, [volume]).window
    assert (plan.skip_at_most, plan.skipped) == (0.25, skipped)
    assert np.array_equal(segment(package, volume).labelmap > 0, voxels == 1)


def test_the_manifest_decides_how_a_volume_is_swept(sweeping):
    prepared = registry.task("segment").prepare(
        sweeping, [builders.volume(builders.noise(6, 8, 10))]
    )
    assert prepared.window == WindowPlan((8, 8, 8), 0.5, "gaussian", 1, channels=2)
    assert prepared.tensor.shape[1:] == prepared.grid.shape
    assert prepared.tensor.dtype == np.float32


def test_an_output_on_another_grid_is_refused(sweeping):
    task = registry.task("segment")
    volumes = [builders.volume(builders.noise(6, 8, 10))]
    prepared = task.prepare(sweeping, volumes)
    with pytest.raises(InferenceError, match="expected"):
        task.finish(sweeping, np.zeros((2, 1, 1, 1), np.float32), prepared, volumes)


@pytest.mark.parametrize(
    ("volumes", "says"),
    [
        ([], "takes 1 images (CT), not 0"),
        ([builders.volume(np.full((2, 3, 4), np.inf))], "values that are not finite"),
        ([builders.volume(np.full((2, 3, 4), np.nan))], "values that are not finite"),
        ([builders.volume(np.zeros((2, 3, 0)))], "is empty"),
        ([builders.volume(np.zeros((2, 3, 4)), on=builders.grid((2, 3, 5)))], "has shape"),
        (
            [builders.volume(np.zeros((2, 3, 4)), padding=np.ones((2, 3, 4), np.bool_))],
            "every voxel of the image is padding",
        ),
        (
            [builders.volume(np.zeros((2, 3, 4)), on=builders.grid((2, 3, 4), spacing=(0, 1, 1)))],
            "no positive, finite spacing",
        ),
    ],
)
def test_images_that_do_not_fit_are_refused(sweeping, volumes, says):
    with pytest.raises(InputError) as caught:
        registry.task("segment").prepare(sweeping, volumes)
    assert says in str(caught.value)


def test_a_two_dimensional_model_takes_one_image(tmp_path):
    with pytest.raises(InputError, match="takes one image, not 2 slices"):
        registry.task("segment").prepare(flat(tmp_path), [builders.volume(np.zeros((2, 3, 4)))])


def test_channels_on_two_grids_are_refused(tmp_path):
    package = builders.package(
        tmp_path / "t",
        model=builders.network(channels=2),
        model__inputs=[
            {"name": "image", "layout": "NCDHW", "channels": [{"name": "a"}, {"name": "b"}]}
        ],
    )
    one = builders.volume(np.zeros((2, 3, 4)))
    other = builders.volume(np.zeros((2, 3, 4)), on=builders.grid((2, 3, 4), spacing=(2, 1, 0.6)))
    with pytest.raises(InputError, match="must be on one grid"):
        registry.task("segment").prepare(package, [one, other])


REGIONS = {
    "model__outputs": [{"name": "logits", "kind": "logits", "channels": 3}],
    "model": convolution(1, 3),
    "postprocess__activation": "sigmoid",
    "postprocess__regions": [2, 1, 5],
    "postprocess__labels": {value: {**builders.LUNG, "name": str(value)} for value in (1, 2, 5)},
    "preprocess__normalize": [{"kind": "zscore"}],
    "infer": {"mode": "sliding_window", "patch": [8, 10, 12]},
}


def test_regions_paint_their_labels_later_ones_over_earlier_ones(tmp_path):
    package = builders.package(tmp_path / "t", **REGIONS)
    volume = builders.volume(builders.noise(8, 10, 12))
    task = registry.task("segment")
    prepared = task.prepare(package, [volume])
    logits = 3 * np.random.default_rng(1).normal(size=(3, 8, 10, 12)).astype(np.float32)
    expected = np.zeros((8, 10, 12), np.uint8)
    for logit, label in zip(logits, (2, 1, 5), strict=True):
        expected[logit > 0] = label
    assert np.array_equal(task.finish(package, logits, prepared, [volume]).labelmap, expected)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"postprocess__activation": "softmax"}, "regions need activation sigmoid, not softmax"),
        ({"postprocess__regions": [1, 2]}, "2 regions for an output of 3 channels"),
        ({"postprocess__regions": [1, 2, 7]}, "label 7 is not among postprocess.labels"),
        ({"postprocess__regions": [1, 2, 2]}, "no region paints label 5"),
    ],
)
def test_regions_that_make_no_sense_are_refused(tmp_path, changes, says):
    with pytest.raises(PackageError, match=says):
        builders.package(tmp_path / "t", **{**REGIONS, **changes})
