"""The lane: warm sessions, one call at a time."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest

from engines.backends.onnx import OnnxBackend
from engines.errors import (
    BackendUnavailable,
    DeviceLost,
    EngineError,
    InferenceError,
    NotApplicable,
    NotFinite,
    OutOfMemory,
    PackageError,
    Timeout,
)
from engines.pool import Pool
from engines.serving.pace import Pace
from engines.window import sweep
from tests.builders.network import wait_until
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


def test_what_a_run_will_take_is_known_after_the_first_and_grows_with_the_image(models):
    builders.package(models / "tiny")
    small, large = (
        builders.volume(builders.noise(2, 4, 4)),
        builders.volume(builders.noise(4, 4, 4)),
    )
    with Pool(models) as pool:
        assert pool.expected_s("tiny", None, [small]) is None
        _, provenance = pool.run("tiny", None, [small])
        assert pool.expected_s("tiny", None, [small]) == pytest.approx(provenance.seconds)
        assert pool.expected_s("tiny", None, [large]) == pytest.approx(2 * provenance.seconds)


def test_the_pace_is_that_of_the_middle_run_and_of_one_place():
    pace = Pace()
    for seconds in (1.0, 2.0, 30.0):
        pace.note("package", "onnx on cpu", 10, seconds)
    assert pace.expected_s("package", 20) == pytest.approx(4.0)
    assert pace.expected_s("another", 20) is None
    pace.note("package", "tensorrt on cuda", 10, 0.1)
    assert pace.expected_s("package", 20) == pytest.approx(0.2)


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
    with Pool(models, memory_mb=40) as pool:
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


class Troubled:
    """A backend whose models fail in ways that no real one can be made to, else ONNX Runtime.

    Parameters
    ----------
    fail
        Called before each call of a model, with the batch and the precision; may raise.
    device
        What it says it runs on.
    missing
        Why it cannot run here.
    """

    name = "troubled"

    def __init__(self, fail=lambda batch, precision: None, *, device="gpu:0", missing=None):
        self.default_device = device
        self.loads = 0
        self.began = []
        self._fail, self._missing = fail, missing

    def missing(self):
        return self._missing

    def load(self, package, *, device, precision="fp16"):
        self.loads += 1
        self._fail(0, precision)
        session = OnnxBackend(threads=1).load(package, device="cpu")
        return TroubledSession(session, partial(self._call, package.name, precision))

    def _call(self, name, precision, batch):
        self.began.append(name)
        self._fail(batch, precision)


class TroubledSession:
    def __init__(self, session, before):
        self._session, self._before = session, before

    def run(self, inputs):
        (batch,) = inputs.values()
        self._before(len(batch))
        return self._session.run(inputs)

    def sweep(self, volume, plan):
        return sweep(lambda batch: self.run({"image": batch})["logits"], volume, plan)

    def close(self):
        self._session.close()


def room_for(windows):
    """A device that has room for so many windows at a time."""

    def fail(batch, precision):
        if batch > windows:
            raise OutOfMemory("no room")

    return fail


@pytest.fixture
def windows(models):
    """Add a package of windows, eight at a time."""
    builders.package(
        models / "windows",
        metadata__name="windows",
        infer={"mode": "sliding_window", "patch": [2, 2, 2], "overlap": 0.0, "batch": 8},
    )
    return models


IMAGE = builders.volume(builders.noise(4, 6, 8))


def test_a_batch_that_finds_no_memory_is_halved_then_one_and_the_package_remembers(windows):
    with Pool(windows, backend := Troubled(room_for(2))) as pool:
        result, provenance = pool.run("windows", None, [IMAGE])
        again, second = pool.run("windows", None, [IMAGE])
    with Pool(windows) as pool:
        expected, _ = pool.run("windows", None, [IMAGE])

    assert np.array_equal(result.labelmap, expected.labelmap)
    assert np.array_equal(again.labelmap, expected.labelmap)
    assert provenance.notes == ("no memory for batch 8: batch 4", "no memory for batch 4: batch 1")
    assert second.notes == provenance.notes
    assert backend.loads == 1


def test_a_model_that_finds_no_memory_at_all_runs_on_the_next_backend(windows):
    with Pool(windows, [Troubled(room_for(-1)), "onnx"]) as pool:
        _, provenance = pool.run("windows", None, [IMAGE])

    assert (provenance.backend, provenance.device) == ("onnx", "cpu")
    assert provenance.notes[-1] == "onnx on cpu instead of troubled on gpu:0: no room"


def test_without_another_backend_the_lack_of_memory_is_the_answer(windows):
    with Pool(windows, Troubled(room_for(0))) as pool, pytest.raises(OutOfMemory, match="no room"):
        pool.run("windows", None, [IMAGE])


def test_a_package_that_does_not_allow_the_cpu_does_not_end_up_there(models):
    builders.package(models / "big", metadata__name="big", runtime={"cpu": "never"})
    with (
        Pool(models, [Troubled(room_for(0)), "onnx"]) as pool,
        pytest.raises(BackendUnavailable, match="does not allow the CPU"),
    ):
        pool.run("big", None, [IMAGE])


def test_an_output_that_is_not_finite_in_half_precision_is_computed_again_in_full(models):
    def fail(batch, precision):
        if batch and precision == "fp16":
            raise NotFinite("output 'logits' is not finite", "fp16")

    with Pool(models, Troubled(fail)) as pool:
        result, provenance = pool.run("segment", None, [IMAGE])

    assert result.labelmap.any()
    assert provenance.notes == ("the output in fp16 was not finite: computed in fp32",)


def test_an_output_that_is_not_finite_in_full_precision_is_the_answer(models):
    builders.package(
        models / "log",
        metadata__name="log",
        model=builders.network(kind="log", channels=1),
        model__outputs=[{"name": "logits", "kind": "logits", "channels": 1}],
        postprocess__activation="sigmoid",
    )
    empty = builders.volume(np.zeros((2, 3, 4)))
    with Pool(models) as pool, pytest.raises(InferenceError, match="not finite"):
        pool.run("log", None, [empty])


def test_after_its_device_is_lost_a_pool_runs_nothing_and_says_why(models):
    def fail(batch, precision):
        if batch:
            raise DeviceLost("illegal address")

    with Pool(models, [Troubled(fail), "onnx"]) as pool:
        with pytest.raises(DeviceLost, match="illegal address"):
            pool.run("segment", None, [IMAGE])
        with pytest.raises(DeviceLost, match="lost before: illegal address"):
            pool.run("classify", None, [builders.volume(np.zeros((1, 4, 4)))])


def test_a_backend_that_cannot_run_here_is_passed_over_with_its_reason(models):
    absent = Troubled(missing="no driver (libgpu.so not found); install one")
    with Pool(models, [absent, "onnx"]) as pool:
        _, provenance = pool.run("segment", None, [IMAGE])

    assert provenance.backend == "onnx"
    assert provenance.notes == ("backend 'troubled': no driver (libgpu.so not found); install one",)
    assert pool.notes == provenance.notes


def test_where_no_backend_can_run_every_reason_is_given(models):
    absent = Troubled(missing="no driver")
    with pytest.raises(BackendUnavailable, match=r"'troubled': no driver; no backend 'magic'"):
        Pool(models, [absent, "magic"])


@pytest.mark.parametrize("name", ["segment", "windows"])
def test_a_run_that_takes_longer_than_its_limit_is_given_up_with_the_limit(windows, name):
    manifest = windows / name / "manifest.yaml"
    manifest.write_text(manifest.read_text() + "runtime: {timeout_s: 1.0e-9}\n")
    with (
        Pool(windows) as pool,
        pytest.raises(Timeout, match=r"did not finish within its runtime\.timeout_s of 1e-09 s"),
    ):
        pool.run(name, None, [IMAGE])


def test_a_device_with_room_for_one_model_gives_it_to_the_one_that_runs(models):
    loaded = set()

    class Narrow(Troubled):
        def load(self, package, *, device, precision="fp16"):
            if loaded:
                raise OutOfMemory("no room for a second model")
            loaded.add(package.name)
            session = super().load(package, device=device, precision=precision)
            session.close = loaded.clear
            return session

    with Pool(models, Narrow()) as pool:
        pool.preload(["segment", "classify"])
        _, provenance = pool.run("segment", None, [IMAGE])

    assert provenance.notes == ()


def began_in_order(models, runs):
    """Let runs wait for one lane, the first of them in it; the order in which they began.

    A run is a name, a priority and when it is due.
    """
    for name, _, _ in runs:
        builders.package(models / name, metadata__name=name)
    go = threading.Event()

    def fail(batch, precision):
        if batch:
            assert go.wait(30)

    backend = Troubled(fail)
    with Pool(models, backend) as pool:
        pool.preload(name for name, _, _ in runs)
        threads = []
        for number, (name, priority, due) in enumerate(runs):
            threads.append(
                threading.Thread(
                    target=pool.run,
                    args=(name, None, [IMAGE]),
                    kwargs={"priority": priority, "due": due},
                )
            )
            threads[-1].start()
            wait_until(
                lambda waiting=number: backend.began and pool.waiting == waiting,
                within_s=30,
                what="its place in the queue",
            )
        go.set()
        for thread in threads:
            thread.join()
    return backend.began


def test_stat_goes_before_routine_where_both_wait(models):
    runs = [("running", 0, 9.0), ("routine", 0, 9.0), ("later", 0, 9.0), ("stat", 1, 9.0)]
    assert began_in_order(models, runs) == ["running", "stat", "routine", "later"]


def test_of_one_priority_the_run_that_is_due_first_goes_first(models):
    runs = [("running", 0, 9.0), ("tomorrow", 0, 8.0), ("stat", 1, 99.0), ("soon", 0, 3.0)]
    assert began_in_order(models, runs) == ["running", "stat", "soon", "tomorrow"]


def test_several_lanes_run_one_model_at_the_same_time(models):
    together = threading.Barrier(2, timeout=30)
    inside = threading.local()

    def fail(batch, precision):
        if batch and not getattr(inside, "met", False):
            inside.met = True
            together.wait()

    with Pool(models, Troubled(fail, device="cpu"), lanes=2, threads=1) as pool:
        threads = [
            threading.Thread(target=pool.run, args=("segment", None, [IMAGE])) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert not together.broken
