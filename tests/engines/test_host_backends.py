"""What the backends in this process do beyond the contract, and why one is missing."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest

from engines import registry
from engines.errors import BackendUnavailable, InferenceError, OutOfMemory, PackageError
from tests.engines import builders
from tests.engines.networks import unet

HERE = ("onnx", "openvino", "reference")
INSTALLED = [name for name, missing in registry.availability() if missing is None and name in HERE]


@pytest.fixture(params=INSTALLED)
def backend(request):
    return registry.backend(request.param, threads=2)


@pytest.fixture
def scarce():
    """Leave this process 256 MB of addresses more than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)

    def limit():
        room = psutil.Process().memory_info().vms + 256 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (room, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_an_input_without_room_is_out_of_memory_and_the_next_is_answered(backend, scarce, tmp_path):
    session = backend.load(builders.package(tmp_path / "unet", model=unet(3)), device="cpu")
    small = builders.noise(1, 1, 8, 8, 8)
    before = session.run({"image": small})["logits"]
    large = np.zeros((1, 1, 320, 320, 320), np.float32)
    scarce()
    with pytest.raises(OutOfMemory, match="no memory left"):
        session.run({"image": large})
    assert np.array_equal(session.run({"image": small})["logits"], before)
    session.close()


def test_an_input_of_another_name_is_an_inference_error(backend, tmp_path):
    session = backend.load(builders.package(tmp_path / "tiny"), device="cpu")
    with pytest.raises(InferenceError, match="takes input 'image', not 'picture'"):
        session.run({"picture": builders.noise(1, 1, 2, 2, 2)})


def test_an_input_of_another_shape_is_named_with_the_graphs(backend, tmp_path):
    session = backend.load(builders.package(tmp_path / "tiny"), device="cpu")
    with pytest.raises(InferenceError, match=r"\(1, 3, 2, 2, 2\), not \(\?, 1, \?, \?, \?\)"):
        session.run({"image": builders.noise(1, 3, 2, 2, 2)})


def test_what_the_network_cannot_compute_is_an_inference_error(backend, tmp_path):
    session = backend.load(builders.package(tmp_path / "unet", model=unet(3)), device="cpu")
    # An odd number of voxels: the halves do not fit together again.
    with pytest.raises(InferenceError, match="the model failed") as caught:
        session.run({"image": builders.noise(1, 1, 5, 5, 5)})
    assert not isinstance(caught.value, OutOfMemory)
    assert session.run({"image": builders.noise(1, 1, 4, 4, 4)})["logits"].shape[1] == 2


def test_a_graph_that_differs_from_the_manifest_is_refused_by_name(backend, tmp_path):
    model = builders.network(ndim=2, channels=1, classes=2, name_out="other")
    with pytest.raises(PackageError) as caught:
        backend.load(builders.package(tmp_path / "t", model=model), device="cpu")
    assert str(caught.value).splitlines() == [
        "tiny: model.onnx: input 'image' has 4 axes, not 5",
        "tiny: model.onnx: has outputs 'other'; the manifest names 'logits'",
    ]


def test_a_graph_that_is_not_valid_is_a_package_error(backend, tmp_path):
    model = onnx.load_from_string(builders.network(kind="threshold"))
    model.graph.node[0].op_type = "NoSuchOperator"
    package = builders.package(tmp_path / "t", model=model.SerializeToString())
    with pytest.raises(PackageError, match=r"^tiny: model\.onnx: "):
        backend.load(package, device="cpu")


@pytest.mark.parametrize(("name", "module"), [("openvino", "openvino"), ("reference", "onnx")])
def test_a_backend_without_its_package_says_what_to_install(monkeypatch, tmp_path, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    install = f"the {module} package is not installed: pip install 'wetread\\[{name}\\]'"
    with pytest.raises(BackendUnavailable, match=f"backend '{name}': {install}"):
        registry.backend(name)
    assert "pip install" in dict(registry.availability())[name]


LOAD_AND_WATCH = """
import json, sys
from pathlib import Path
from engines import registry
from engines.package import load_package

package = load_package(Path(sys.argv[1]))
sys.dont_write_bytecode = True
seen = []

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(("socket.", "os.fork", "os.posix_spawn", "subprocess.")):
        seen.append(f"{event} {arguments[0] if writes else ''}")

sys.addaudithook(watch)
registry.backend(sys.argv[2], threads=1).load(package, device="cpu").close()
print(json.dumps(seen))
"""


@pytest.mark.parametrize("name", INSTALLED)
def test_a_backend_tells_nobody_that_it_is_used(name, tmp_path):
    """Two of the runtimes report their use to their makers unless they are kept from it."""
    builders.package(tmp_path / "tiny")
    home = tmp_path / "home"
    home.mkdir()
    # Their telemetry stays quiet by itself where it believes to be in continuous integration.
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH")}
    said = subprocess.run(
        [sys.executable, "-c", LOAD_AND_WATCH, tmp_path / "tiny", name],
        env={**kept, "HOME": str(home)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(said.stdout) == []
    assert [path for path in home.rglob("*") if path.is_file()] == []
