"""Triton's model repository, made from model packages.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_repository.html
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from engines.backends import onnx_file
from engines.backends.host import mismatches, refuse
from engines.backends.kserve.naming import DIGEST, VERSION, served_name
from engines.backends.onnx import LOAD_ERRORS, described
from engines.errors import PackageError
from engines.package import Package

CONFIG = "config.pbtxt"
MODEL = "model.onnx"

GATHERED = 8
"""Most images of different studies that a 2D classifier answers in one go."""

GATHERING_MICROSECONDS = 2000
"""Longest wait for such images: little beside the network's time, enough for a burst."""


@dataclass(frozen=True)
class Shapes:
    """Shapes of a graph's input and output as the ONNX file has them, batch first.

    A dimension that the graph leaves open is -1.
    """

    given: tuple[int, ...]
    wanted: tuple[int, ...]

    @property
    def batched(self) -> bool:
        """Whether the graph takes any number of images at once."""
        return self.given[0] == -1 and self.wanted[0] == -1


def graph_shapes(package: Package, content: bytes) -> Shapes:
    """Read the shapes out of a package's ONNX file.

    Raises
    ------
    PackageError
        If the file is more than a graph of standard operators, ONNX Runtime cannot load it,
        or it has other tensors than the manifest says.
    """
    refuse(package, onnx_file.problems(content))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        graph = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except LOAD_ERRORS as error:
        raise PackageError(f"{package.name}: {package.manifest.model.file}: {error}") from error
    inputs = [described(tensor) for tensor in graph.get_inputs()]
    outputs = {tensor.name: described(tensor) for tensor in graph.get_outputs()}
    refuse(package, mismatches(package, inputs, list(outputs.values())))
    wanted = outputs[package.manifest.model.outputs[0].name]
    if inputs[0].shape is None or wanted.shape is None:
        refuse(package, ["says nothing of its axes, which Triton must know: infer its shapes"])
    return Shapes(_dims(inputs[0].shape), _dims(wanted.shape))


def config_pbtxt(package: Package, shapes: Shapes) -> str:
    """Write a model's configuration for Triton.

    Parameters
    ----------
    package
        Its manifest names the tensors, the images per call and whether a CPU may run it.
    shapes
        Of its graph: Triton does not load a model whose dimensions are not the graph's.

    Returns
    -------
    str
        A ``ModelConfig`` message in protobuf's text format.
    """
    model, infer = package.manifest.model, package.manifest.infer
    gathers = shapes.batched and model.task == "classify" and model.ndim == 2
    most = max(infer.batch, GATHERED) if gathers else infer.batch
    # With a largest batch, Triton's dimensions leave the batch out; it may be 1 then, too.
    skipped = 1 if shapes.batched else 0
    lines = [
        f"name: {_quoted(served_name(package))}",
        'platform: "onnxruntime_onnx"',
        f"default_model_filename: {_quoted(MODEL)}",
        f"max_batch_size: {most if shapes.batched else 0}",
        *_tensor("input", model.inputs[0].name, shapes.given[skipped:]),
        *_tensor("output", model.outputs[0].name, shapes.wanted[skipped:]),
        # KIND_AUTO is a GPU where Triton has one, else the CPU.
        f"instance_group {{ count: 1 kind: {_kind(package)} }}",
    ]
    if gathers:
        wait = f"max_queue_delay_microseconds: {GATHERING_MICROSECONDS}"
        lines.append(f"dynamic_batching {{ {wait} }}")
    for key, value in [
        (DIGEST, model.sha256),
        ("wetread_package", package.name),
        ("wetread_version", package.version),
    ]:
        value_text = f"value {{ string_value: {_quoted(value)} }}"
        lines.append(f"parameters {{ key: {_quoted(key)} {value_text} }}")
    return "\n".join(lines) + "\n"


def write_model(package: Package, repository: Path) -> bool:
    """Put a package's model into a repository, as a folder that appears complete or not at all.

    It holds ``config.pbtxt`` and ``1/model.onnx``; its name is the package's `served_name`.

    Parameters
    ----------
    repository
        Folder; made if it is missing.

    Returns
    -------
    bool
        False if the same model is there already.

    Raises
    ------
    PackageError
        If the package's model is wrong, or another model is there under the name.
    OSError
        If the repository cannot be written.
    """
    content = package.read_model()
    config = config_pbtxt(package, graph_shapes(package, content)).encode()
    folder = repository / served_name(package)
    if folder.exists():
        _check_same(folder, package, content)
        return False
    repository.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=repository))
    try:
        part.chmod(0o755)  # the server is another user
        for name, value in ((CONFIG, config), (f"{VERSION}/{MODEL}", content)):
            path = part / name
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
        part.rename(folder)
    except BaseException:  # whatever it was: half a model must not stay
        shutil.rmtree(part, ignore_errors=True)
        raise
    return True


def _check_same(folder: Path, package: Package, content: bytes) -> None:
    """Make sure that a folder holds this model; its configuration may have been added to."""
    model, config = folder / VERSION / MODEL, folder / CONFIG
    wrong = None
    if not model.is_file() or model.read_bytes() != content:
        wrong = model
    elif not config.is_file() or package.manifest.model.sha256.encode() not in config.read_bytes():
        wrong = config
    if wrong:
        raise PackageError(
            f"{wrong} is missing or is not that of this package; give a changed model a new "
            f"version, or remove {folder} if no node uses it"
        )


def _kind(package: Package) -> str:
    return "KIND_GPU" if package.manifest.runtime.cpu == "never" else "KIND_AUTO"


def _tensor(what: str, name: str, dims: Sequence[int]) -> list[str]:
    listed = ", ".join(str(size) for size in dims)
    return [f"{what} {{ name: {_quoted(name)} data_type: TYPE_FP32 dims: [{listed}] }}"]


def _dims(shape: Sequence[int | None] | None) -> tuple[int, ...]:
    return tuple(-1 if size is None else size for size in shape or ())


def _quoted(text: str) -> str:
    """Write a string of protobuf's text format: bytes outside plain ASCII in octal."""
    plain = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\"\\'" else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{"".join(plain)}"'


__all__ = ["CONFIG", "MODEL", "Shapes", "config_pbtxt", "graph_shapes", "write_model"]
