"""The backend for model servers, against a real gRPC server on loopback; the rest is its contract.

Triton itself is not among the servers: nothing that PyPI or Debian offers brings it.
"""

from __future__ import annotations

import socket
import sys
import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

pytest.importorskip("tritonclient.grpc", reason="needs the extra kserve")

import grpc
import onnx
import trustme
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from engines import registry
from engines.api import WindowPlan
from engines.backends.kserve.address import LARGEST_MESSAGE_BYTES, Address, parse_address
from engines.backends.kserve.backend import KServeBackend
from engines.backends.kserve.naming import served_name
from engines.backends.kserve.repository import Shapes, config_pbtxt, graph_shapes, write_model
from engines.backends.kserve.server import Server, failure
from engines.errors import (
    BackendAway,
    BackendUnavailable,
    InferenceError,
    OutOfMemory,
    PackageError,
)
from engines.pool import Pool
from tests.engines import builders
from tests.engines.kserve_server import serving

IMAGE = {"image": np.ones((1, 1, 2, 3, 4), np.float32)}


@pytest.fixture
def package(tmp_path):
    return builders.package(tmp_path / "mine")


@pytest.fixture
def server(tmp_path):
    """A server that serves the packages of the test, with the default manners."""
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def stranger(tmp_path_factory):
    """A server with packages of its own: put them into ``folder``."""
    folder = tmp_path_factory.mktemp("theirs")
    with serving(folder) as running:
        running.folder = folder
        yield running


@pytest.fixture
def load(request):
    """Load a package's model from a server, and close it after the test."""

    def loaded(package, device):
        session = registry.backend("kserve").load(package, device=device)
        request.addfinalizer(session.close)
        return session

    return loaded


def retrained(shift: float = 0.5) -> bytes:
    """A network with the tensors of the package's own, but of another file."""
    model = onnx.load_from_string(builders.network(kind="threshold"))
    model.doc_string = "retrained"
    (weights,) = [w for w in model.graph.initializer if w.name == "shift"]
    values = onnx.numpy_helper.to_array(weights) * np.float32(shift / 0.5)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, "shift"))
    content: bytes = model.SerializeToString()
    return content


class Severing(threading.Thread):
    """Hands one connection to a server through, and cuts it after so many bytes of answers."""

    def __init__(self, port: int, after_bytes: int) -> None:
        super().__init__(daemon=True)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.device = f"grpc://127.0.0.1:{self._door.getsockname()[1]}"
        self._port, self._left = port, after_bytes

    def run(self):
        near, _ = self._door.accept()
        self._door.close()
        with near, socket.create_connection(("127.0.0.1", self._port)) as far:
            threading.Thread(target=self._forward, args=(near, far), daemon=True).start()
            while self._left > 0 and (data := far.recv(65536)):
                near.sendall(data[: self._left])
                self._left -= len(data)
            near.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _forward(near, far):
        try:
            while data := near.recv(65536):
                far.sendall(data)
        except OSError:
            return  # cut


# ---- where the server is


@pytest.mark.parametrize(
    ("device", "address", "target"),
    [
        ("grpc://models.local:9001", Address("models.local", 9001), "models.local:9001"),
        ("grpc://models.local", Address("models.local", 8001), "models.local:8001"),
        ("grpc://[::1]:8001/", Address("::1", 8001), "[::1]:8001"),
        ("grpcs://10.0.0.9:443", Address("10.0.0.9", 443, tls=True), "10.0.0.9:443"),
    ],
)
def test_the_device_is_the_address_of_the_server(device, address, target):
    assert parse_address(device) == address
    assert address.target == target


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        "cuda:0",
        "http://models.local:8000",
        "grpc://",
        "grpc://models.local:port",
        "grpc://models.local:70000",
        "grpc://models.local:8001/tiny",
        "grpc://models.local:8001?ca=ca.pem",
        "grpcs://models.local:8001?cert=mine.pem",
        "grpcs://models.local:8001?ca",
        "grpc://someone@models.local:8001",
        "grpc://[::1:8001",
    ],
)
def test_a_device_of_another_form_is_refused_with_the_right_form(device):
    with pytest.raises(BackendUnavailable, match="grpc://HOST:PORT"):
        parse_address(device)


@pytest.mark.parametrize("module", ["tritonclient", "grpc"])
def test_without_its_client_the_backend_says_what_to_install(module, monkeypatch, package, server):
    for name in [name for name in sys.modules if name.split(".")[0] == "tritonclient"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # Python's own way to forbid an import
    backend = KServeBackend()
    assert "pip install 'wetread[kserve]'" in backend.missing()
    with pytest.raises(BackendUnavailable, match="does not load"):
        backend.load(package, device=server.device)


# ---- whose model it is


def test_a_server_that_is_down_is_away(package, load):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BackendAway, match=f"127.0.0.1:{port}.*UNAVAILABLE"):
        load(package, f"grpc://127.0.0.1:{port}")


@pytest.mark.parametrize("state", ["live", "ready"])
def test_a_server_that_is_not_live_or_ready_is_away(state, package, server, load):
    setattr(server.service.manners, state, False)
    with pytest.raises(BackendAway, match=f"the server is not {state}"):
        load(package, server.device)


def test_a_model_that_the_server_has_not_is_away_until_it_has_it(package, stranger, load):
    with pytest.raises(BackendAway, match=r"model tiny-1\.0\.0, version 1, is not ready"):
        load(package, stranger.device)
    builders.package(stranger.folder / "tiny")
    assert load(package, stranger.device).run(IMAGE)["logits"].shape == (1, 2, 2, 3, 4)


def test_two_versions_of_a_package_are_served_side_by_side(tmp_path, server, load):
    first = builders.package(tmp_path / "one")
    other = builders.package(
        tmp_path / "two",
        metadata__version="1.1.0-rc.1+build.7",
        model=retrained(),
    )
    assert served_name(other) == "tiny-1.1.0-rc.1_build.7"
    for each in (first, other):
        assert load(each, server.device).run(IMAGE)["logits"].max() == pytest.approx(10)


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (
            {"name_in": "x"},
            {"model__inputs": [{"name": "x", "layout": "NCDHW", "channels": [{"name": "CT"}]}]},
            "has inputs 'x'; the manifest names 'image'",
        ),
        (
            {"name_out": "y"},
            {"model__outputs": [{"name": "y", "kind": "logits", "channels": 2}]},
            "has outputs 'y'; the manifest names 'logits'",
        ),
        (
            {"kind": "identity", "channels": 3},
            {
                "model__inputs": [
                    {
                        "name": "image",
                        "layout": "NCDHW",
                        "channels": [{"name": name} for name in "abc"],
                    }
                ],
                "model__outputs": [{"name": "logits", "kind": "logits", "channels": 3}],
            },
            "input 'image' has 3 channels, the manifest says 1",
        ),
        (
            {"ndim": 2},
            {
                "model__ndim": 2,
                "model__inputs": [
                    {"name": "image", "layout": "NCHW", "channels": [{"name": "CT"}]}
                ],
            },
            "input 'image' has 4 axes, not 5",
        ),
    ],
)
def test_a_model_with_other_tensors_is_refused_with_both_sides(
    network, changes, message, package, stranger, load
):
    content = builders.network(**{"kind": "threshold", **network})
    builders.package(stranger.folder / "tiny", model=content, **changes)
    with pytest.raises(PackageError, match=message):
        load(package, stranger.device)


def test_a_model_of_another_type_is_refused(package, server, load):
    server.service.manners.datatype = "FP16"
    with pytest.raises(PackageError, match="'image' is FP16, not float32"):
        load(package, server.device)


def test_a_model_made_from_another_file_is_refused_with_both_digests(package, stranger, load):
    theirs = builders.package(stranger.folder / "tiny", model=retrained())
    with pytest.raises(PackageError) as refused:
        load(package, stranger.device)
    assert theirs.manifest.model.sha256 in str(refused.value)
    assert package.manifest.model.sha256 in str(refused.value)


def test_where_a_server_does_not_say_which_file_it_runs_there_is_a_note(package, server, load):
    server.service.manners.configured = False
    session = load(package, server.device)
    assert ["does not say which file" in note for note in session.notes] == [True]
    assert session.run(IMAGE)["logits"].max() == pytest.approx(10)


@pytest.mark.parametrize("kind", ["same", "other"])
def test_where_a_server_does_not_say_which_file_it_runs_the_self_test_decides(
    kind, tmp_path, stranger, load
):
    answer = np.concatenate([IMAGE["image"] * 0, 20 * IMAGE["image"] - 10], axis=1)
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "case.npz", input=IMAGE["image"], output=answer)
    package = builders.package(tmp_path / "mine", selftest__cases=["case.npz"])
    theirs = None if kind == "same" else retrained(shift=0.25)
    builders.package(stranger.folder / "tiny", model=theirs)
    stranger.service.manners.configured = False
    if kind == "same":
        assert load(package, stranger.device).notes == ()
    else:
        with pytest.raises(PackageError, match="the output is off by"):
            load(package, stranger.device)


def test_a_model_that_is_exchanged_under_way_is_not_run(package, stranger, load):
    builders.package(stranger.folder / "tiny")
    session = load(package, stranger.device)
    theirs = builders.package(stranger.folder / "tiny", model=retrained())
    stranger.service.exchange(theirs)
    with pytest.raises(InferenceError, match="the server has exchanged model"):
        session.run(IMAGE)
    plan = WindowPlan((2, 2, 2), 0.5, "constant")
    with pytest.raises(InferenceError, match="the server has exchanged model"):
        list(session.sweep(builders.noise(1, 4, 4, 4), plan))


# ---- running


def test_a_batch_larger_than_the_server_takes_goes_in_several_calls(tmp_path, server, load):
    package = builders.package(tmp_path / "mine", infer__batch=2)
    session = load(package, server.device)
    batch = builders.noise(5, 1, 2, 2, 2)
    output = session.run({"image": batch})["logits"]
    assert server.service.batches == [2, 2, 1]
    assert np.allclose(output[:, 1:], 20 * batch - 10, atol=1e-4)


def test_a_tensor_larger_than_grpcs_own_limit_goes_through(package, server, load):
    image = builders.noise(1, 1, 64, 128, 160)  # 5 MB, and twice that back
    output = load(package, server.device).run({"image": image})["logits"]
    assert np.allclose(output[:, 1:], 20 * image - 10, atol=1e-4)


def test_a_tensor_larger_than_any_message_asks_for_less(server):
    side = int((LARGEST_MESSAGE_BYTES / 4) ** 0.5) + 1
    # All voxels are one: the array has the size, not the memory.
    image = np.broadcast_to(np.float32(0), (1, 1, side, side))
    away = Server(parse_address(server.device))
    with pytest.raises(OutOfMemory, match="use smaller batches or windows"):
        away.infer("tiny-1.0.0", "image", image, "logits", 1.0)
    away.close()


def test_numbers_that_come_as_text_fields_are_read_too(package, server, load):
    server.service.manners.typed = True
    output = load(package, server.device).run(IMAGE)["logits"]
    assert output.dtype == np.float32
    assert output[0, :, 0, 0, 0].tolist() == [0, 10]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"name": "other"}, r"has outputs \['other'\], not 'logits'"),
        ({"datatype": "FP16"}, "is FP16, not FP32"),
        ({"shape": [1, 2, 2, 3, 5]}, r"shape \(1, 2, 2, 3, 5\) and has 48 numbers"),
        ({"shape": [2, 1, 2, 3, 4]}, r"shape \(2, 1, 2, 3, 4\).*1 images were sent"),
        ({"shape": [48]}, r"shape \(48,\)"),
        ({"shape": [1, -2, -2, 3, 4]}, r"shape \(1, -2, -2, 3, 4\)"),
        ({"shape": [1, 1, 4, 3, 4]}, "1 channels, the manifest says 2"),
        ({"raw": b"\0" * 191}, "has 0 numbers"),
        ({"raw": np.full(48, np.nan, "<f4").tobytes()}, "is not finite"),
        ({"raw": np.full(48, np.inf, "<f4").tobytes()}, "is not finite"),
    ],
)
def test_an_answer_that_is_not_the_models_is_an_inference_error(
    answer, message, package, server, load
):
    session = load(package, server.device)
    server.service.manners.answer = answer
    with pytest.raises(InferenceError, match=message):
        session.run(IMAGE)


def test_a_server_that_is_too_slow_is_away(tmp_path, server, load):
    package = builders.package(tmp_path / "mine", runtime__timeout_s=0.2)
    session = load(package, server.device)
    server.service.manners.holds = threading.Event()
    with pytest.raises(BackendAway, match="ModelInfer: DEADLINE_EXCEEDED"):
        session.run(IMAGE)


def test_a_server_that_breaks_off_in_its_answer_is_away(package, server, load):
    cut = Severing(server.port, after_bytes=1_000_000)
    cut.start()
    session = load(package, cut.device)
    with pytest.raises(BackendAway, match="ModelInfer: UNAVAILABLE"):
        session.run({"image": builders.noise(1, 1, 64, 64, 64)})


def test_a_session_outlives_a_restart_of_its_server(package, tmp_path, load):
    with serving(tmp_path) as first:
        session = load(package, first.device)
    with pytest.raises(BackendAway, match="UNAVAILABLE"):
        session.run(IMAGE)
    with serving(tmp_path, port=first.port):
        output = run_when_back(session)
    assert output["logits"].max() == pytest.approx(10)


def run_when_back(session):
    """Try as a waiting study does; gRPC connects again after a second or so."""
    for _ in range(100_000):
        try:
            return session.run(IMAGE)
        except BackendAway:
            continue
    pytest.fail("the session never came back")


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("UNAVAILABLE", "Request for unknown model: 'tiny' has no available versions", BackendAway),
        ("UNAVAILABLE", "Exceeds maximum queue size", BackendAway),
        ("CANCELLED", "", BackendAway),
        ("NOT_FOUND", "Request for unknown model: 'tiny' is not found", BackendAway),
        ("INTERNAL", "CUDA error: out of memory", OutOfMemory),
        ("INTERNAL", "onnx runtime error 6: Failed to allocate memory for buffer", OutOfMemory),
        ("RESOURCE_EXHAUSTED", "Received message larger than max", OutOfMemory),
        ("UNAUTHENTICATED", "who are you", BackendUnavailable),
        ("INTERNAL", "onnx runtime error 1: Non-zero status code", InferenceError),
        ("INVALID_ARGUMENT", "unexpected shape", InferenceError),
    ],
)
def test_the_servers_failures_become_the_engines_errors(code, details, kind, package, server, load):
    session = load(package, server.device)
    server.service.manners.fails = (grpc.StatusCode[code], details)
    with pytest.raises(kind) as failed:
        session.run(IMAGE)
    assert type(failed.value) is kind
    assert code in str(failed.value)


def test_a_call_after_the_end_of_the_connection_says_so(server):
    closed = Server(parse_address(server.device))
    closed.close()
    with pytest.raises(InferenceError, match="the session is closed"):
        closed.metadata("tiny-1.0.0")


def test_a_long_story_of_a_server_is_cut():
    assert len(str(failure("INTERNAL", "x" * 10_000, "grpc://h:1: ModelInfer"))) < 400


def test_over_tls_the_server_must_be_the_one_that_the_authority_vouches_for(
    package, tmp_path, load
):
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())]
    )
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    with serving(tmp_path, credentials=credentials) as running:
        device = f"grpcs://127.0.0.1:{running.port}?ca={tmp_path}"
        assert load(package, f"{device}/ca.pem").run(IMAGE)["logits"].max() == pytest.approx(10)
        with pytest.raises(BackendAway, match="UNAVAILABLE"):
            load(package, f"{device}/other.pem")
    with pytest.raises(BackendUnavailable, match=r"none\.pem: No such file"):
        load(package, f"{device}/none.pem")


@pytest.mark.parametrize(("task", "ndim"), [("segment", 3), ("segment", 2), ("classify", 2)])
def test_a_pool_gives_the_same_result_on_a_server_as_here(task, ndim, tmp_path, server):
    if ndim == 2:
        mode = {"infer__mode": "slice" if task == "segment" else "whole"}
    else:
        mode = {"infer": {"mode": "sliding_window", "patch": [4, 4, 4], "batch": 2}}
    builders.package(tmp_path / "tiny", task=task, ndim=ndim, **mode)
    volume = builders.volume(builders.noise(1 if task == "classify" else 6, 9, 10))
    with Pool(tmp_path) as here, Pool(tmp_path, "kserve", server.device) as there:
        expected, _ = here.run("tiny", None, [volume])
        result, provenance = there.run("tiny", None, [volume])
    assert (provenance.backend, provenance.device) == ("kserve", server.device)
    if task == "segment":
        assert 0 < np.count_nonzero(expected.labelmap) < expected.labelmap.size
        assert np.array_equal(result.labelmap, expected.labelmap)
    else:
        assert result.scores == expected.scores


def test_what_nobody_could_check_is_in_the_results_provenance(package, tmp_path, server):
    server.service.manners.configured = False
    with Pool(tmp_path, f"kserve@{server.device}") as pool:
        _, provenance = pool.run(package.name, None, [builders.volume(builders.noise(2, 3, 4))])
    assert ["does not say which file" in note for note in provenance.notes] == [True]


# ---- Triton's model repository


def parsed(text):
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_a_configuration_says_what_the_manifest_and_the_graph_say(tmp_path):
    package = builders.package(
        tmp_path / "tiny", infer={"mode": "sliding_window", "patch": [8, 8, 8], "batch": 4}
    )
    config = parsed(config_pbtxt(package, graph_shapes(package, package.read_model())))
    assert (config.name, config.platform) == ("tiny-1.0.0", "onnxruntime_onnx")
    assert config.max_batch_size == 4
    for tensor, name, dims in [
        (config.input[0], "image", [1, -1, -1, -1]),
        (config.output[0], "logits", [2, -1, -1, -1]),
    ]:
        assert (tensor.name, list(tensor.dims)) == (name, dims)
        assert tensor.data_type == model_config_pb2.TYPE_FP32
    assert not config.HasField("dynamic_batching")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert config.parameters["wetread_sha256"].string_value == package.manifest.model.sha256


def test_images_of_several_studies_meet_in_a_2d_classifier(tmp_path):
    package = builders.package(tmp_path / "view", task="classify", ndim=2)
    config = parsed(config_pbtxt(package, Shapes((-1, 1, -1, -1), (-1, 2))))
    assert config.max_batch_size > 1
    assert config.dynamic_batching.max_queue_delay_microseconds > 0
    assert list(config.output[0].dims) == [2]


def test_a_graph_of_one_image_at_a_time_keeps_its_batch_axis(tmp_path):
    package = builders.package(tmp_path / "view", task="classify", ndim=2)
    config = parsed(config_pbtxt(package, Shapes((1, 1, 64, 64), (1, 2))))
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [1, 1, 64, 64]
    assert not config.HasField("dynamic_batching")


def test_a_package_that_no_processor_may_run_asks_for_a_gpu(tmp_path):
    package = builders.package(tmp_path / "tiny", runtime__cpu="never")
    config = parsed(config_pbtxt(package, Shapes((-1, 1, -1, -1, -1), (-1, 2, -1, -1, -1))))
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU


@given(name=st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_name_of_a_tensor_survives_the_text_format(name, tmp_path_factory):
    package = builders.package(tmp_path_factory.mktemp("any") / "tiny")
    model = package.manifest.model
    named = model.outputs[0].model_copy(update={"name": name})
    manifest = package.manifest.model_copy(
        update={"model": model.model_copy(update={"outputs": (named,)})}
    )
    odd = type(package)(package.root, manifest, package.digest)
    config = parsed(config_pbtxt(odd, Shapes((-1, 1, -1, -1, -1), (-1, 2, -1, -1, -1))))
    assert config.output[0].name == name


def test_a_model_is_written_whole_and_once(package, tmp_path):
    repository = tmp_path / "new" / "repository"
    assert write_model(package, repository)
    assert not write_model(package, repository)
    written = {str(f.relative_to(repository)) for f in repository.rglob("*") if f.is_file()}
    assert written == {"tiny-1.0.0/config.pbtxt", "tiny-1.0.0/1/model.onnx"}
    assert (repository / "tiny-1.0.0/1/model.onnx").read_bytes() == package.read_model()


def test_what_was_added_to_a_configuration_stays(package, tmp_path):
    write_model(package, tmp_path)
    config = tmp_path / "tiny-1.0.0/config.pbtxt"
    added = config.read_text() + "version_policy { latest { num_versions: 1 } }\n"
    config.write_text(added)
    assert not write_model(package, tmp_path)
    assert config.read_text() == added


def test_a_configuration_of_another_model_is_not_taken_for_the_packages(package, tmp_path):
    write_model(package, tmp_path)
    config = tmp_path / "tiny-1.0.0/config.pbtxt"
    config.write_text(config.read_text().replace(package.manifest.model.sha256, "0" * 64))
    with pytest.raises(PackageError, match=r"config\.pbtxt is missing or is not that"):
        write_model(package, tmp_path)


def test_another_model_of_the_same_version_is_not_written_over(package, tmp_path):
    write_model(package, tmp_path / "repository")
    changed = builders.package(tmp_path / "changed", model=retrained())
    with pytest.raises(PackageError, match="is not that of this package"):
        write_model(changed, tmp_path / "repository")
    assert (tmp_path / "repository/tiny-1.0.0/1/model.onnx").read_bytes() == package.read_model()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no graph", "is not an ONNX file"),
        (builders.network(domain="ai.example"), "operators outside the ONNX standard"),
        (
            builders.network(kind="threshold", name_out="y"),
            "has outputs 'y'; the manifest names 'logits'",
        ),
    ],
)
def test_a_wrong_model_is_not_written(content, message, tmp_path):
    package = builders.package(tmp_path / "tiny", model=content)
    with pytest.raises(PackageError, match=message):
        write_model(package, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_model_that_was_exchanged_is_not_written(package, tmp_path):
    package.model_path.write_bytes(builders.network())
    with pytest.raises(PackageError, match="sha256"):
        write_model(package, tmp_path / "repository")
