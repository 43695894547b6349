"""From a PyTorch network to an ONNX file and its known answer; needs the extra ``train``."""

from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np
import torch

from engines.errors import PackageError
from engines.importing.draft import Axes
from engines.types import FloatArray

OPSET = 17


class Turned(torch.nn.Module):  # type: ignore[misc]  # torch is Any where it is not installed
    """A network between the engines' axes: (N, C, k, j, i) of LPS in and out.

    Turning moves voxels and mixes none, so the numbers are those of the network itself.
    """

    def __init__(self, network: torch.nn.Module, axes: Axes) -> None:
        super().__init__()
        self.network = network
        self.axes = axes
        self._there = [0, 1, *(2 + axis for axis in axes.order)]
        self._back = [0, 1, *(2 + axes.order.index(axis) for axis in range(3))]
        self._flips = [2 + axis for axis, flipped in enumerate(axes.flips) if flipped]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn, run, turn back."""
        turned = image.permute(self._there)
        output = self.network(turned.flip(self._flips) if self._flips else turned)
        if not isinstance(output, torch.Tensor):  # deep supervision: the finest comes first
            output = output[0]
        return (output.flip(self._flips) if self._flips else output).permute(self._back)


def export(network: torch.nn.Module, example: FloatArray, names: tuple[str, str]) -> bytes:
    """Write a network as an ONNX file whose batch and spatial axes are free.

    Parameters
    ----------
    network
        In the engines' axes.
    example
        float32, axes (N, C, k, j, i): the network is traced with it.
    names
        Of the input and the output tensor.

    Raises
    ------
    PackageError
        If the network uses an operator that ONNX has not.
    """
    given, wanted = names
    space = {0: "n", 2: "k", 3: "j", 4: "i"}
    target = BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # The exporter by tracing also takes TorchScript; the newer one does not.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                # Traced first: the exporter cannot trace TorchScript inside another module.
                torch.jit.trace(network.eval(), torch.from_numpy(example), check_trace=False),
                (torch.from_numpy(example),),
                target,
                input_names=[given],
                output_names=[wanted],
                dynamic_axes={given: space, wanted: space},
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, torch.onnx.OnnxExporterError) as error:
        first = (str(error).splitlines() or ["no reason given"])[0]
        raise PackageError(f"the network cannot be written as ONNX: {first}") from error
    return target.getvalue()


def answer(network: torch.nn.Module, example: FloatArray) -> FloatArray:
    """Run the network in PyTorch: the answer that every backend has to give.

    Parameters
    ----------
    network
        In the engines' axes.
    example
        float32, axes (N, C, k, j, i).
    """
    with torch.no_grad():
        output: FloatArray = network.eval()(torch.from_numpy(example)).numpy()
    return output.astype(np.float32)


__all__ = ["OPSET", "Turned", "answer", "export"]
