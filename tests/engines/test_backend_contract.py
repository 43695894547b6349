"""What every backend does, whichever runtime is behind it."""

from __future__ import annotations

import gc
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import psutil
import pytest
from onnx.reference import ReferenceEvaluator

from engines import registry
from engines.api import WindowPlan
from engines.errors import BackendUnavailable, InferenceError, PackageError
from engines.window import stitch, sweep
from tests.engines import builders
from tests.engines.networks import heavy, unet
from tests.engines.tensorrt.fake import Prebuilt

AVAILABLE = [name for name, missing in registry.availability() if missing is None]
PLAYED = "tensorrt without a GPU"


@pytest.fixture(params=[*AVAILABLE, PLAYED])
def backend(request, tmp_path):
    """Every backend that can run here, and TensorRT with ONNX Runtime in the GPU's place."""
    if request.param == PLAYED:
        return Prebuilt(tmp_path / "plans")
    return registry.backend(request.param, threads=1)


@pytest.fixture
def device(backend, tmp_path):
    """Where the backend runs: this processor, or a server on loopback with the test's packages."""
    if backend.name != "kserve":
        yield "cuda:0" if backend.name == "tensorrt" else "cpu"
        return
    from tests.engines.kserve_server import serving

    with serving(tmp_path) as running:
        yield running.device


@pytest.fixture
def session(backend, device, tmp_path):
    opened = backend.load(builders.package(tmp_path / "tiny"), device=device)
    yield opened
    opened.close()


def test_a_backend_is_known_by_its_entry_point(backend):
    assert backend.name in dict(registry.availability())
    assert backend.missing() is None


def test_a_batch_gives_named_float32_arrays_in_order(session):
    batch = builders.noise(3, 1, 4, 5, 6)
    output = session.run({"image": batch})["logits"]
    assert output.dtype == np.float32
    assert np.allclose(output, np.concatenate([batch * 0, 20 * batch - 10], axis=1), atol=1e-4)


def test_other_dtypes_and_strides_are_the_sessions_business(session):
    batch = builders.noise(1, 1, 4, 5, 6)
    turned = batch.astype(np.float64)[..., ::-1]
    expected = session.run({"image": np.ascontiguousarray(batch[..., ::-1])})["logits"]
    assert np.array_equal(session.run({"image": turned})["logits"], expected)


@pytest.mark.parametrize("shape", [(3, 4, 5), (9, 10, 11), (16, 8, 8)])
@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_a_sweep_gives_the_numbers_of_the_reference(session, shape, blend):
    volume = builders.noise(1, *shape)
    plan = WindowPlan((8, 8, 8), 0.5, blend, batch=2)

    def reference(windows):
        return np.concatenate([windows * 0, 20 * windows - 10], axis=1)

    swept = stitch(session.sweep(volume, plan))
    assert swept.dtype == np.float32
    assert np.allclose(swept, stitch(sweep(reference, volume, plan)), atol=1e-4)


def test_an_input_of_the_wrong_rank_is_an_inference_error(session):
    with pytest.raises(InferenceError, match="the model failed"):
        session.run({"image": builders.noise(1, 1, 4, 5)})


def test_an_output_that_is_not_finite_is_an_inference_error(backend, device, tmp_path):
    package = builders.package(
        tmp_path / "log",
        model=builders.network(kind="log"),
        model__outputs=[{"name": "logits", "kind": "logits", "channels": 1}],
        postprocess__activation="sigmoid",
    )
    session = backend.load(package, device=device)
    with pytest.raises(InferenceError, match="is not finite"):
        session.run({"image": np.zeros((1, 1, 2, 2, 2), np.float32)})


def test_a_closed_session_says_so(session):
    session.close()
    with pytest.raises(InferenceError, match="the session is closed"):
        session.run({"image": builders.noise(1, 1, 2, 2, 2)})


def test_a_device_that_is_none_is_refused(backend, tmp_path):
    with pytest.raises(BackendUnavailable, match="abacus"):
        backend.load(builders.package(tmp_path / "tiny"), device="abacus")


def test_a_model_that_was_exchanged_is_not_loaded(backend, device, tmp_path):
    package = builders.package(tmp_path / "tiny")
    package.model_path.write_bytes(builders.network())
    with pytest.raises(PackageError, match="sha256"):
        backend.load(package, device=device)


def test_a_sweep_gives_slabs_one_after_the_other(session):
    volume = builders.noise(1, 20, 9, 8)
    slabs = list(session.sweep(volume, WindowPlan((8, 8, 8), 0.5, "gaussian")))
    ends = [slab.start + slab.values.shape[1] for slab in slabs]
    assert len(slabs) > 1
    assert [slab.start for slab in slabs] == [0, *ends[:-1]]
    assert ends[-1] == 20
    assert {(slab.values.shape[0], *slab.values.shape[2:]) for slab in slabs} == {(2, 9, 8)}


def test_the_number_of_images_in_a_batch_may_change_from_call_to_call(session):
    for size in (1, 3, 2, 4, 1):
        batch = builders.noise(size, 1, 4, 4, 4, seed=size)
        output = session.run({"image": batch})["logits"]
        assert np.allclose(output[:, 1:], 20 * batch - 10, atol=1e-4)


def test_an_answer_stays_as_it_is_when_the_next_comes_and_its_input_is_used_again(session):
    batch = builders.noise(1, 1, 4, 4, 4)
    given = batch.copy()
    first = session.run({"image": batch})["logits"]
    assert np.array_equal(batch, given)
    said = first.copy()
    batch[:] = 0
    session.run({"image": batch})
    assert np.array_equal(first, said)


def test_threads_that_call_at_once_each_get_their_own_answer(session):
    batches = [builders.noise(1, 1, 8, 8, 8, seed=seed) for seed in range(32)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda batch: session.run({"image": batch}), batches))
    for batch, answer in zip(batches, answers, strict=True):
        assert np.allclose(answer["logits"][:, 1:], 20 * batch - 10, atol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_u_net_gives_the_numbers_of_the_onnx_standard(backend, device, tmp_path, ndim):
    model = unet(ndim)
    batch = builders.noise(2, 1, *[16] * ndim)
    (expected,) = ReferenceEvaluator(onnx.load_from_string(model)).run(None, {"image": batch})
    session = backend.load(
        builders.package(tmp_path / "unet", ndim=ndim, model=model), device=device
    )
    output = session.run({"image": batch})["logits"]
    session.close()
    assert np.ptp(expected) > 1
    assert np.allclose(output, expected, rtol=0, atol=1e-4)


def test_a_classifier_gives_one_row_per_image(backend, device, tmp_path):
    package = builders.package(tmp_path / "mean", task="classify", ndim=2)
    batch = builders.noise(3, 1, 8, 6)
    session = backend.load(package, device=device)
    means = batch.mean(axis=(1, 2, 3))
    output = session.run({"image": batch})["logits"]
    session.close()
    assert np.allclose(output, np.stack([means, -means], axis=1), atol=1e-5)


def test_closing_gives_the_memory_back(backend, device, tmp_path):
    package = builders.package(tmp_path / "heavy", model=heavy())
    process, size = psutil.Process(), package.model_path.stat().st_size
    held = []
    for _ in range(12):
        session = backend.load(package, device=device)
        session.run({"image": builders.noise(1, 1, 2, 2, 2)})
        session.close()
        del session
        gc.collect()
        held.append(process.memory_info().rss)
    # Allocators keep some, now more and now less; a model that stays would be there nine times.
    assert min(held[-3:]) - min(held[:3]) < 5 * size


@pytest.mark.skipif(not os.environ.get("CI"), reason="a machine of one's own may lack an extra")
def test_continuous_integration_runs_every_backend_that_needs_no_device():
    assert {"kserve", "onnx", "openvino", "reference"} <= set(AVAILABLE)
