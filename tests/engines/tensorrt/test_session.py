"""What a session asks of TensorRT, in which order, and what it makes of a refusal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engines.backends.tensorrt.plans import Order
from engines.errors import BackendUnavailable, DeviceLost, InferenceError, OutOfMemory
from tests.engines import builders
from tests.engines.tensorrt.fake import Fake


def loaded(fake: Fake, folder, **changes):
    """Build and load a package that thresholds at 0.5."""
    package = builders.package(folder / "tiny", **changes)
    backend = fake.backend(folder / "plans")
    backend.build(package, Order("fp32"), device="cuda")
    return backend.load(package, device="cuda")


def image(*shape: int):
    return {"image": builders.noise(*shape)}


def expected(batch):
    return np.concatenate([batch * 0, 20 * batch - 10], axis=1)


def test_the_calls_come_in_the_order_tensorrt_wants(tmp_path):
    fake = Fake()
    session = loaded(fake, tmp_path)
    fake.calls.clear()
    session.run(image(1, 1, 4, 5, 6))
    assert fake.calls == [
        "set_optimization_profile_async",
        "set_input_shape",
        "infer_shapes",
        "update_device_memory_size_for_shapes",
        "set_device_memory",
        "set_tensor_address",
        "set_tensor_address",
        "execute_async_v3",
    ]


def test_a_shape_seen_just_now_needs_no_preparation(tmp_path):
    fake = Fake()
    session = loaded(fake, tmp_path)
    session.run(image(1, 1, 4, 5, 6))
    fake.calls.clear()
    session.run(image(1, 1, 4, 5, 6))
    assert fake.calls == ["set_tensor_address", "set_tensor_address", "execute_async_v3"]


def test_shapes_may_change_from_run_to_run(tmp_path):
    session = loaded(Fake(), tmp_path)
    for size in ((4, 5, 6), (9, 8, 7), (2, 2, 2), (4, 5, 6)):
        batch = builders.noise(1, 1, *size)
        output = session.run({"image": batch})["logits"]
        assert np.allclose(output, expected(batch), atol=1e-4)


def test_a_batch_larger_than_the_plans_runs_in_parts(tmp_path):
    fake = Fake()
    session = loaded(fake, tmp_path, infer__batch=2)
    batch = builders.noise(5, 1, 4, 4, 4)
    assert np.allclose(session.run({"image": batch})["logits"], expected(batch), atol=1e-4)
    assert fake.counted()["execute_async_v3"] == 3


def test_results_do_not_change_with_the_next_run(tmp_path):
    session = loaded(Fake(), tmp_path)
    first = session.run(image(1, 1, 4, 4, 4))["logits"]
    kept = first.copy()
    session.run({"image": np.ones((1, 1, 4, 4, 4), np.float32)})
    assert np.array_equal(first, kept)


def test_a_shape_outside_the_profile_is_named_with_the_profile(tmp_path):
    window = {"mode": "sliding_window", "patch": [8, 8, 8]}
    session = loaded(Fake(), tmp_path, infer=window)
    with pytest.raises(InferenceError, match=r"1×1×8×8×9.*profile 0: 1×1×8×8×8 … 1×1×8×8×8"):
        session.run(image(1, 1, 8, 8, 9))


@pytest.mark.parametrize(
    ("call", "answer", "error", "says"),
    [
        ("set_input_shape", False, InferenceError, "does not take shape 1×1×4×4×4"),
        ("infer_shapes", ["image"], InferenceError, "cannot tell the shape of image"),
        ("set_tensor_address", False, InferenceError, "does not take memory for 'image'"),
        ("set_optimization_profile_async", False, DeviceLost, "this process must end"),
        ("execute_async_v3", False, DeviceLost, "this process must end"),
    ],
)
def test_a_call_that_gives_false_is_the_error_it_stands_for(tmp_path, call, answer, error, says):
    session = loaded(Fake({call: answer}), tmp_path)
    with pytest.raises(error, match=says):
        session.run(image(1, 1, 4, 4, 4))


def test_the_log_says_why_the_device_was_lost(tmp_path):
    fake = Fake({"execute_async_v3": False}, says="an illegal memory access was encountered")
    session = loaded(fake, tmp_path)
    with pytest.raises(DeviceLost, match="illegal memory access"):
        session.run(image(1, 1, 4, 4, 4))


def test_a_refusal_for_want_of_memory_is_no_lost_device(tmp_path):
    fake = Fake({"execute_async_v3": False}, says="Cuda Runtime (out of memory)")
    session = loaded(fake, tmp_path)
    with pytest.raises(OutOfMemory):
        session.run(image(1, 1, 4, 4, 4))


def test_no_execution_context_is_out_of_memory(tmp_path):
    fake = Fake({"create_execution_context": None}, says="[defaultAllocator] OutOfMemory")
    with pytest.raises(OutOfMemory, match="OutOfMemory"):
        loaded(fake, tmp_path)


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_a_full_device_frees_what_the_session_held_and_a_smaller_shape_runs(tmp_path, full_at):
    fake = Fake(full_at=full_at)
    session = loaded(fake, tmp_path)
    with pytest.raises(OutOfMemory):
        session.run(image(1, 1, 8, 8, 8))
    assert fake.device.used == 0
    batch = builders.noise(1, 1, 4, 4, 4)
    assert np.allclose(session.run({"image": batch})["logits"], expected(batch), atol=1e-4)


def test_a_closed_session_holds_no_memory(tmp_path):
    fake = Fake()
    session = loaded(fake, tmp_path)
    session.run(image(1, 1, 4, 4, 4))
    assert fake.device.used > 0
    session.close()
    assert fake.device.used == 0


def test_an_input_of_another_name_is_an_inference_error(tmp_path):
    session = loaded(Fake(), tmp_path)
    with pytest.raises(InferenceError, match="it takes 'image', not \\['picture'\\]"):
        session.run({"picture": builders.noise(1, 1, 4, 4, 4)})


def test_a_study_never_waits_for_a_build(tmp_path):
    fake = Fake()
    package = builders.package(tmp_path / "tiny")
    with pytest.raises(BackendUnavailable, match="run `wetread models build tiny`"):
        fake.backend(tmp_path / "plans").load(package, device="cuda")
    assert "build_serialized_network" not in fake.calls


def test_at_start_up_a_missing_plan_is_built_when_asked(tmp_path):
    fake = Fake()
    package = builders.package(tmp_path / "tiny")
    backend = fake.backend(tmp_path / "plans")
    backend.load(package, device="cuda", build_missing=True).close()
    backend.load(package, device="cuda").close()
    assert fake.counted()["build_serialized_network"] == 1


def test_a_batch_on_the_device_is_run_where_it_lies(tmp_path):
    session = loaded(Fake(), tmp_path, infer__batch=2)
    batch = builders.noise(2, 1, 4, 4, 4)

    def work(device):
        made = np.empty((2, 2, 4, 4, 4), np.float32)
        given, wanted = device.allocate(batch.nbytes), device.allocate(made.nbytes)
        stream = device.stream()
        device.copy_in(given, batch, stream)
        session.enqueue(given.pointer, wanted.pointer, batch.shape, stream)
        device.copy_out(made, wanted, stream)
        stream.synchronize()
        return made

    assert np.allclose(session.on_device(work), expected(batch), atol=1e-4)


def test_a_batch_on_the_device_is_not_taken_apart(tmp_path):
    session = loaded(Fake(), tmp_path, infer__batch=2)
    with pytest.raises(InferenceError, match="its plan takes 2 at once, not 3"):
        session.on_device(lambda api: session.enqueue(0, 0, (3, 1, 4, 4, 4), api.stream()))


def test_many_threads_share_a_session(tmp_path):
    session = loaded(Fake(), tmp_path)
    batches = [builders.noise(1, 1, 4, 4, 4 + n % 3, seed=n) for n in range(24)]
    with ThreadPoolExecutor(6) as threads:
        outputs = list(threads.map(lambda batch: session.run({"image": batch})["logits"], batches))
    for batch, output in zip(batches, outputs, strict=True):
        assert np.allclose(output, expected(batch), atol=1e-4)
