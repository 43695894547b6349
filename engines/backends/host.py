"""What every session shares that takes NumPy arrays and gives NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engines.backends import onnx_file
from engines.errors import BackendUnavailable, InferenceError, PackageError
from engines.package import Package
from engines.types import Array, FloatArray, Tensors
from engines.window import sweep

if TYPE_CHECKING:
    from engines.api import Slab, WindowPlan


@dataclass(frozen=True)
class GraphTensor:
    """One input or output of a graph, as the runtime that loaded it describes it.

    Parameters
    ----------
    name
        Name in the graph.
    dtype
        NumPy's name of the element type where there is one, else the runtime's.
    shape
        Length of each axis, None for a symbolic one; None where even the rank is not known.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


class HostSession:
    """A loaded model behind a function of NumPy arrays.

    Parameters
    ----------
    infer
        Runs one batch: float32 contiguous array in, the wanted output out. Raises
        `InferenceError` or `OutOfMemory`. Called from several threads at once.
    given
        The graph's one input.
    wanted
        Name of the output that `infer` gives.
    release
        Called once on close, for what dropping `infer` does not give back.
    """

    def __init__(
        self,
        infer: Callable[[FloatArray], Array],
        given: GraphTensor,
        wanted: str,
        release: Callable[[], None] | None = None,
    ) -> None:
        self._infer: Callable[[FloatArray], Array] | None = infer
        self._given, self._wanted, self._release = given, wanted, release

    def run(self, inputs: Tensors) -> Tensors:
        """Run one batch: one named array (N, C, …) of any type in, one named float32 array out.

        Raises
        ------
        InferenceError
            If the session is closed, the input has another name or shape than the graph's,
            the model fails, or an output is not finite.
        OutOfMemory
            If there is no room.
        """
        # Taken once: a close while this runs must not pull the model away.
        infer = self._infer
        if infer is None:
            raise InferenceError("the session is closed")
        output = np.asarray(infer(self._checked(inputs)), dtype=np.float32)
        if not np.isfinite(output).all():
            raise InferenceError(f"output {self._wanted!r} is not finite")
        return {self._wanted: output}

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> Iterator[Slab]:
        """Run a volume (C, k, j, i) window by window; slabs of output in order of k, no gaps."""
        name = self._given.name
        return sweep(lambda batch: self.run({name: batch})[self._wanted], volume, plan)

    def close(self) -> None:
        """Drop the model; the session cannot be used after it. A second close does nothing."""
        self._infer = None
        release, self._release = self._release, None
        if release is not None:
            release()

    def _checked(self, inputs: Tensors) -> FloatArray:
        """Give the one input, float32 and contiguous, if the graph takes its shape."""
        name, shape = self._given.name, self._given.shape
        if set(inputs) != {name}:
            found = ", ".join(repr(each) for each in sorted(inputs)) or "none"
            raise InferenceError(f"the model failed: it takes input {name!r}, not {found}")
        batch: FloatArray = np.ascontiguousarray(inputs[name], dtype=np.float32)
        if shape is None:
            return batch
        fits = len(batch.shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, batch.shape, strict=True)
        )
        if not fits:
            axes = ", ".join("?" if want is None else str(want) for want in shape)
            raise InferenceError(
                f"the model failed: input {name!r} has shape {batch.shape}, not ({axes})"
            )
        return batch


def checked_model(package: Package, backend: str, device: str) -> bytes:
    """Read a package's ONNX file for a backend that runs on the CPU.

    Returns
    -------
    bytes
        The file with the manifest's hash: one graph of standard operators, weights inside.

    Raises
    ------
    BackendUnavailable
        If `device` is not ``"cpu"``.
    PackageError
        If the file is not the one the manifest names, or needs other files or operators
        outside the standard.
    """
    if device != "cpu":
        raise BackendUnavailable(f"backend {backend!r} runs on device 'cpu' only, not {device!r}")
    content = package.read_model()
    refuse(package, onnx_file.problems(content))
    return content


def refuse(package: Package, found: Sequence[str]) -> None:
    """Raise a PackageError with one line for each thing that is wrong with the model file.

    Raises
    ------
    PackageError
        If `found` is not empty.
    """
    if found:
        file = package.manifest.model.file
        raise PackageError("\n".join(f"{package.name}: {file}: {line}" for line in found))


def mismatches(
    package: Package, inputs: Sequence[GraphTensor], outputs: Sequence[GraphTensor]
) -> list[str]:
    """Compare a graph's inputs and outputs with the manifest.

    Returns
    -------
    list of str
        One sentence per difference in name, type, rank or channels; a symbolic length fits any.
    """
    model, found = package.manifest.model, []
    given = {tensor.name: tensor for tensor in inputs}
    wanted = {tensor.name: tensor for tensor in outputs}
    entry, output = model.inputs[0], model.outputs[0]
    if set(given) != {entry.name}:
        found.append(f"has inputs {_names(given)}; the manifest names {entry.name!r}")
    else:
        found += _differences(given[entry.name], "input", len(entry.channels), [model.ndim + 2])
    if output.name not in wanted:
        found.append(f"has outputs {_names(wanted)}; the manifest names {output.name!r}")
    else:
        ranks = [2] if model.task == "classify" else [2, model.ndim + 2]
        if model.task == "segment":
            ranks = [model.ndim + 2]
        found += _differences(wanted[output.name], "output", output.channels, ranks)
    return found


def _differences(
    tensor: GraphTensor, what: str, channels: int, ranks: Sequence[int]
) -> Iterator[str]:
    if tensor.dtype != "float32":
        yield f"{what} {tensor.name!r} is {tensor.dtype}, not float32"
    if tensor.shape is None:
        return
    if len(tensor.shape) not in ranks:
        expected = " or ".join(str(rank) for rank in ranks)
        yield f"{what} {tensor.name!r} has {len(tensor.shape)} axes, not {expected}"
    elif tensor.shape[1] not in (None, channels):
        yield (
            f"{what} {tensor.name!r} has {tensor.shape[1]} channels, the manifest says {channels}"
        )


def _names(tensors: dict[str, GraphTensor]) -> str:
    return ", ".join(repr(name) for name in sorted(tensors)) or "none"


__all__ = ["GraphTensor", "HostSession", "checked_model", "mismatches", "refuse"]
