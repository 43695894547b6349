"""What every backend does, whichever runtime is behind it."""

from __future__ import annotations

import numpy as np
import pytest

from engines import registry
from engines.api import WindowPlan
from engines.errors import BackendUnavailable, InferenceError, PackageError
from engines.window import sweep
from tests.engines import builders

AVAILABLE = [name for name, missing in registry.availability() if missing is None]


@pytest.fixture(params=AVAILABLE)
def backend(request):
    """Every backend that can run here; the same contract holds for all."""
    return registry.backend(request.param, threads=1)


@pytest.fixture
def session(backend, tmp_path):
    opened = backend.load(builders.package(tmp_path / "tiny"), device="cpu")
    yield opened
    opened.close()


def test_a_backend_is_known_by_its_entry_point(backend):
    assert backend.name in AVAILABLE
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

    swept = session.sweep(volume, plan)
    assert swept.dtype == np.float32
    assert np.allclose(swept, sweep(reference, volume, plan), atol=1e-4)


def test_an_input_of_the_wrong_rank_is_an_inference_error(session):
    with pytest.raises(InferenceError, match="the model failed"):
        session.run({"image": builders.noise(1, 1, 4, 5)})


def test_an_output_that_is_not_finite_is_an_inference_error(backend, tmp_path):
    package = builders.package(
        tmp_path / "log",
        model=builders.network(kind="log"),
        model__outputs=[{"name": "logits", "kind": "logits", "channels": 1}],
        postprocess__activation="sigmoid",
    )
    session = backend.load(package, device="cpu")
    with pytest.raises(InferenceError, match="is not finite"):
        session.run({"image": np.zeros((1, 1, 2, 2, 2), np.float32)})


def test_a_closed_session_says_so(session):
    session.close()
    with pytest.raises(InferenceError, match="the session is closed"):
        session.run({"image": builders.noise(1, 1, 2, 2, 2)})


def test_a_device_that_is_none_is_refused(backend, tmp_path):
    with pytest.raises(BackendUnavailable, match="abacus"):
        backend.load(builders.package(tmp_path / "tiny"), device="abacus")


def test_a_model_that_was_exchanged_is_not_loaded(backend, tmp_path):
    package = builders.package(tmp_path / "tiny")
    package.model_path.write_bytes(builders.network())
    with pytest.raises(PackageError, match="sha256"):
        backend.load(package, device="cpu")
