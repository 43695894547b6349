"""CUDA graphs: only for one shape at the same addresses, and never a reason to fail."""

from __future__ import annotations

import numpy as np
import pytest

from engines.errors import NotOnDevice, PackageError
from engines.pool import Pool
from tests.engines import builders
from tests.engines.tensorrt.fake import Fake
from tests.engines.tensorrt.test_on_device import (
    ON_DEVICE,
    WINDOWS,
    check,
    packaged,
    volume,
)
from tests.engines.tensorrt.test_session import expected, loaded

GRAPH = {"runtime__cuda_graph": True}
FIXED = {"infer": {"mode": "sliding_window", "patch": [4, 4, 4], "batch": 2}, **GRAPH}


def test_the_first_run_is_queued_as_it_is_the_second_captured_and_the_rest_are_graphs(tmp_path):
    fake = Fake(graphs=True)
    session = loaded(fake, tmp_path, **FIXED)
    for seed in range(5):
        batch = builders.noise(2, 1, 4, 4, 4, seed=seed)
        assert np.allclose(session.run({"image": batch})["logits"], expected(batch), atol=1e-4)
    assert fake.counted()["execute_async_v3"] == 2
    assert (fake.device.captures, fake.device.launches) == (1, 4)
    assert session.notes == ()


def test_another_shape_needs_another_graph(tmp_path):
    fake = Fake(graphs=True)
    session = loaded(fake, tmp_path, **FIXED)
    for size in (2, 2, 2, 1, 1, 2, 2):
        batch = builders.noise(size, 1, 4, 4, 4)
        assert np.allclose(session.run({"image": batch})["logits"], expected(batch), atol=1e-4)
    assert fake.device.captures == 3


def test_a_package_that_does_not_ask_has_none(tmp_path):
    fake = Fake(graphs=True)
    session = loaded(fake, tmp_path, infer=FIXED["infer"])
    for _ in range(3):
        session.run({"image": builders.noise(1, 1, 4, 4, 4)})
    assert fake.device.captures == 0


def test_with_pycuda_there_are_none_and_the_result_says_so(tmp_path):
    package = packaged(tmp_path / "models", **GRAPH)
    why = "no CUDA graph: pycuda has none; cuda-bindings has, where pycuda is not installed"
    check(tmp_path, package, volume(), notes=(why, ON_DEVICE))


def test_a_network_that_cannot_be_captured_runs_all_the_same_and_the_result_says_so(tmp_path):
    fake = Fake(graphs=True)

    def refuse(work, stream):
        raise NotOnDevice("the network cannot be captured (cuStreamEndCapture: INVALIDATED)")

    fake.device.capture = refuse
    package = packaged(tmp_path / "models", infer={**WINDOWS, "batch": 1}, **GRAPH)
    why = "no CUDA graph: the network cannot be captured (cuStreamEndCapture: INVALIDATED)"
    check(tmp_path, package, volume(), fake=fake, notes=(why, ON_DEVICE))


def test_a_sweep_on_the_device_replays_one_graph_for_each_of_its_two_buffers(tmp_path):
    fake = Fake(graphs=True)
    package = packaged(tmp_path / "models", infer={**WINDOWS, "batch": 1}, **GRAPH)
    check(tmp_path, package, volume(), fake=fake)
    assert fake.device.captures == 2
    assert fake.device.launches > 50


def test_a_device_that_is_full_drops_its_graphs_with_its_memory(tmp_path):
    fake = Fake(graphs=True)
    package = packaged(tmp_path / "models", **GRAPH)
    backend = fake.backend(tmp_path / "plans")
    backend.load(package, device="cuda", build_missing=True).close()
    with Pool(package.root.parent, backend) as pool:
        first, _ = pool.run("tiny", None, [volume()])
        again, _ = pool.run("tiny", None, [volume()])
    assert np.array_equal(first.labelmap, again.labelmap)
    assert fake.device.used == 0


def test_a_graph_needs_one_shape(tmp_path):
    with pytest.raises(PackageError, match=r"runtime\.cuda_graph: a graph needs one shape"):
        builders.package(tmp_path / "tiny", **GRAPH)
