"""Write a model package: ONNX file, manifest with its hash, and self-test cases."""

from __future__ import annotations

import hashlib
import io
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

OPSET = 17
VERSION = "1.0.0"

OUTPUT_STEP = 1 / 128
"""Self-test outputs are rounded to this, so that they compress."""

TOLERANCE_STEPS = 0.64
"""Tolerance of a self-test in steps: half of one for the rounding, the rest for arithmetic."""


class _Flow(dict[str, Any]):
    """A mapping the manifest writes on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes `_Flow` mappings and lists of plain values on one line, and nothing as an alias."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out: the engine takes no aliases."""
        return True


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    flow = all(_is_plain(value) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flow)


def _mapping(dumper: yaml.SafeDumper, values: _Flow) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", values.items(), flow_style=True)


_Dumper.add_representer(list, _list)
_Dumper.add_representer(_Flow, _mapping)


def flow(**values: object) -> dict[str, Any]:
    """A mapping written on one line of the manifest."""
    return _Flow(values)


def export_onnx(network: torch.nn.Module, shape: Sequence[int], input_name: str) -> bytes:
    """Trace a network into one ONNX file with a dynamic batch.

    Parameters
    ----------
    network
        In evaluation mode.
    shape
        Input shape without the batch, ``(channels, *spatial)``.
    input_name
        ``image`` or ``volume``.

    Returns
    -------
    bytes
        The serialised model, weights inside, without paths or comments.
    """
    buffer = io.BytesIO()
    torch.onnx.export(
        network.eval().to(memory_format=torch.contiguous_format),
        (torch.zeros(1, *shape),),
        buffer,
        opset_version=OPSET,
        input_names=[input_name],
        output_names=["logits"],
        dynamic_axes={input_name: {0: "batch"}, "logits": {0: "batch"}},
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    model.producer_name, model.producer_version, model.doc_string = "wetread", VERSION, ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def write_package(
    out: Path,
    network: torch.nn.Module,
    manifest: dict[str, Any],
    shape: Sequence[int],
    phantoms: Sequence[Callable[[], NDArray[np.float32]]],
    step: float = OUTPUT_STEP,
) -> None:
    """Write model.onnx, selftest/*.npz and manifest.yaml.

    Parameters
    ----------
    out
        Folder of the package.
    network
        Trained network.
    manifest
        Its content without the hash and the self-test.
    shape
        Input shape without the batch.
    phantoms
        Each makes one synthetic input of that shape, 0 to 1.
    step
        What the outputs of the self-tests are rounded to.
    """
    (out / "selftest").mkdir(parents=True, exist_ok=True)
    name = manifest["model"]["inputs"][0]["name"]
    content = export_onnx(network, shape, name)
    (out / "model.onnx").write_bytes(content)
    manifest["model"]["sha256"] = hashlib.sha256(content).hexdigest()

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    cases = []
    for number, phantom in enumerate(phantoms, 1):
        given = phantom()[None].astype(np.float32)
        (got,) = session.run(None, {name: given})
        with torch.inference_mode():
            expected = network(torch.from_numpy(given)).numpy()
        difference = float(np.abs(got - expected).max())
        logger.info("self-test %d: ONNX differs from PyTorch by %.1e", number, difference)
        path = out / "selftest" / f"case-{number}.npz"
        rounded = (np.round(got / step) * step).astype(np.float32)
        np.savez_compressed(path, input=given, output=rounded)
        cases.append(f"selftest/{path.name}")
    manifest["selftest"] = {
        "cases": cases,
        "tolerance": flow(max_abs=round(TOLERANCE_STEPS * step, 4)),
    }
    text = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    (out / "manifest.yaml").write_text(text, encoding="utf-8")
