"""What every implementation of the device's interface does."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from engines.api import WindowPlan
from engines.device.cuda_bindings import CudaBindingsApi
from engines.device.host import HostApi
from engines.device.prepare import Stored
from engines.device.sweep import Recipe, segment
from engines.errors import OutOfMemory
from engines.grid import Orientation, Sampling
from tests.engines import builders
from tests.engines.device.devices import OPENERS, opened

ONE = (1, 1, 1)


@pytest.fixture(params=OPENERS)
def api(request):
    device = opened(request.param)
    yield device
    device.close()


@pytest.fixture
def buffer(api):
    memory = api.allocate(1024)
    yield memory
    memory.free()


def rescale(api, memory, stream, *, factor, count=256):
    """Queue multiplying `count` float32 values by `factor`."""
    arguments = [
        np.uint64(memory.pointer),
        np.float32(0),
        np.float32(factor),
        np.float32(0),
        np.int32(0),
        np.float32(0),
        np.float32(0),
        np.int64(count),
    ]
    api.launch("rescale", (-(-count // 64), 1, 1), (64, 1, 1), arguments, stream)


def test_a_device_has_a_name_and_a_number(api):
    assert api.name
    assert len(api.compute_capability) == 2


def test_memory_is_aligned_and_as_large_as_asked_for(buffer):
    assert buffer.nbytes == 1024
    assert buffer.pointer % 256 == 0


def test_memory_that_is_taken_is_not_free(api):
    before, total = api.memory()
    memory = api.allocate(1 << 26)
    during, _ = api.memory()
    memory.free()
    memory.free()
    after, _ = api.memory()
    assert during <= before - (1 << 26)
    assert during < after <= total


def test_more_than_the_device_has_is_out_of_memory(api):
    _, total = api.memory()
    with pytest.raises(OutOfMemory, match="the device has"):
        api.allocate(2 * total)


def test_what_goes_in_comes_out(api, buffer):
    stream = api.stream()
    given, found = api.pinned((16, 16), np.float32), api.pinned((16, 16), np.float32)
    given[:] = builders.noise(16, 16)
    api.copy_in(buffer, given, stream)
    api.copy_out(found, buffer, stream)
    stream.synchronize()
    assert np.array_equal(found, given)


def test_a_part_of_a_buffer_can_be_copied(api, buffer):
    stream, found = api.stream(), np.zeros(256, np.float32)
    api.fill(buffer, 0, stream)
    api.copy_in(buffer, np.ones(3, np.float32), stream)
    api.copy_out(found, buffer, stream)
    stream.synchronize()
    assert found.tolist() == [1, 1, 1] + [0] * 253


@pytest.mark.parametrize(
    ("array", "reason"),
    [(np.zeros((16, 16), np.float32)[:, ::2], "C-contiguous"), (np.zeros(257, np.float32), "1028")],
)
def test_an_array_that_does_not_fit_is_not_copied(api, buffer, array, reason):
    with pytest.raises(ValueError, match=reason):
        api.copy_in(buffer, array, api.stream())
    with pytest.raises(ValueError, match=reason):
        api.copy_out(array, buffer, api.stream())


def test_every_byte_is_filled(api, buffer):
    stream, found = api.stream(), np.zeros(1024, np.uint8)
    api.fill(buffer, 7, stream)
    api.copy_out(found, buffer, stream)
    stream.synchronize()
    assert set(found) == {7}


def test_a_kernel_runs_for_each_element_after_what_was_queued_before(api, buffer):
    stream, found = api.stream(), np.zeros(256, np.float32)
    given = builders.noise(256)
    api.copy_in(buffer, given, stream)
    rescale(api, buffer, stream, factor=3, count=200)
    api.copy_out(found, buffer, stream)
    stream.synchronize()
    assert np.array_equal(found[:200], given[:200] * np.float32(3))
    assert np.array_equal(found[200:], given[200:])


def test_a_stream_waits_for_what_another_was_given_before(api, buffer):
    first, second = api.stream(), api.stream()
    found = np.zeros(256, np.float32)
    api.copy_in(buffer, np.ones(256, np.float32), first)
    rescale(api, buffer, first, factor=2)
    second.wait_for(first)
    rescale(api, buffer, second, factor=5)
    first.wait_for(second)
    api.copy_out(found, buffer, first)
    first.synchronize()
    assert set(found) == {10}


def test_two_marks_know_the_time_between_them(api, buffer):
    stream = api.stream()
    before = stream.mark()
    rescale(api, buffer, stream, factor=2)
    after = stream.mark()
    later = stream.mark()
    stream.synchronize()
    assert 0 < after.seconds_since(before) <= later.seconds_since(before) < 60
    assert after.seconds_since(before) == pytest.approx(-before.seconds_since(after))
    for mark in (before, after, later):
        mark.close()
        mark.close()


def test_streams_have_handles_of_their_own(api):
    first, second = api.stream(), api.stream()
    assert first.handle != second.handle
    first.close()
    first.close()
    second.synchronize()


def test_captured_work_runs_when_the_graph_is_launched(api, buffer):
    if not isinstance(api, CudaBindingsApi):
        pytest.skip("only cuda-bindings has graphs")
    stream, found = api.stream(), np.zeros(256, np.float32)
    api.copy_in(buffer, np.ones(256, np.float32), stream)
    graph = api.capture(lambda: rescale(api, buffer, stream, factor=3), stream)
    graph.launch(stream)
    graph.launch(stream)
    api.copy_out(found, buffer, stream)
    stream.synchronize()
    graph.close()
    assert set(found) == {9}


def test_a_kernel_that_is_none_is_a_key_error(api):
    with pytest.raises(KeyError, match="no kernel 'abacus'"):
        api.launch("abacus", ONE, ONE, [], api.stream())


class Ramps:
    """A network of kernels: channel c is ``(c + 1) * (input - c / 4)``."""

    def __init__(self, api, channels):
        self.api, self.channels = api, channels

    def enqueue(self, given, made, shape, stream):
        count = int(np.prod(shape[1:]))
        for number, channel in product(range(shape[0]), range(self.channels)):
            arguments = [
                np.uint64(given + 4 * count * number),
                np.float32(channel + 1),
                np.float32(-channel * (channel + 1) / 4),
                *map(np.int64, (0, count, count, 1)),
                *map(np.int32, (1, count)),
                np.int64(count),
                np.uint64(made + 4 * count * (self.channels * number + channel)),
            ]
            self.api.launch(
                "orient_float32", (-(-count // 64), 1, 1), (64, 1, 1), arguments, stream
            )


def test_a_sweep_gives_the_labels_of_the_host(api):
    voxels = builders.noise(14, 11, 19)
    recipe = Recipe(
        Orientation((2, 0, 1), (True, False, True)),
        Sampling((19, 14, 11), (13, 17, 11), (13, 17, 11)),
        (),
        WindowPlan((6, 8, 12), 0.5, "gaussian", batch=2),
        3,
        "softmax",
        np.arange(256, dtype=np.uint8),
    )
    host = HostApi()
    expected = segment(host, Ramps(host, 3), [Stored(voxels, slope=2.0)], recipe)
    found = segment(api, Ramps(api, 3), [Stored(voxels, slope=2.0)], recipe)
    assert set(np.unique(expected)) == {0, 1, 2}
    assert (found != expected).mean() <= 0.001
