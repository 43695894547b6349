"""Whether a variant of a model still says what the float32 model says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnxruntime import InferenceSession, SessionOptions

from engines.backends.onnx import RUN_ERRORS
from engines.errors import PackageError
from engines.types import Array, BoolArray, FloatArray


@dataclass(frozen=True)
class Limits:
    """How far a variant may be off.

    Parameters
    ----------
    dice
        Least overlap of every label with float32's own, over all cases together, 0 … 1.
    auc
        Least area under the ROC curve where float32's decisions are the truth, 0 … 1.
    largest
        Largest difference of a probability, 0 … 1.
    """

    dice: float = 0.99
    auc: float = 0.99
    largest: float = 0.05


LIMITS = {"fp16": Limits(), "int8": Limits(largest=0.1)}
"""By precision."""


@dataclass(frozen=True)
class Parity:
    """How far a variant is off.

    Parameters
    ----------
    largest
        Largest difference of a probability, 0 … 1; NaN if an output is not finite.
    dice
        Least overlap over all labels that either sees; None for classifiers and if neither
        sees any.
    auc
        Least area over all classes; None for segmentations and where every case is decided
        the same way.
    """

    largest: float
    dice: float | None
    auc: float | None

    def findings(self, limits: Limits) -> list[str]:
        """Say what is beyond the limits, with the numbers; empty if nothing is."""
        found = []
        if math.isnan(self.largest):
            found.append("an output is not finite")
        elif self.largest > limits.largest:
            found.append(
                f"a probability differs by {self.largest:.3g}; {limits.largest:g} is allowed"
            )
        if self.dice is not None and not self.dice >= limits.dice:
            found.append(f"Dice is {self.dice:.4f}; {limits.dice:g} is the least allowed")
        if self.auc is not None and not self.auc >= limits.auc:
            found.append(f"AUC is {self.auc:.4f}; {limits.auc:g} is the least allowed")
        return found


def compare(
    model: bytes, other: bytes, inputs: Sequence[FloatArray], *, wanted: str, activation: str
) -> Parity:
    """Run two graphs on the CPU and compare what they say.

    Parameters
    ----------
    model, other
        ONNX files; the first is float32.
    inputs
        Arrays (N, C, …), as the graphs take them; at least one.
    wanted
        Name of the output.
    activation
        What makes probabilities of it: ``"softmax"``, ``"sigmoid"`` or ``"none"``.

    Raises
    ------
    PackageError
        If a graph cannot be run.
    """
    pairs = [
        (_probabilities(one, activation), _probabilities(two, activation))
        for one, two in zip(_run(model, inputs, wanted), _run(other, inputs, wanted), strict=True)
    ]
    largest = float(np.max([np.max(np.abs(one - two)) for one, two in pairs]))
    exclusive = activation != "sigmoid" and pairs[0][0].shape[1] > 1
    if pairs[0][0].ndim > 2:
        return Parity(largest, _dice(pairs, exclusive), None)
    truth = np.concatenate([_decisions(one, exclusive) for one, _ in pairs])
    scores = np.concatenate([two for _, two in pairs])
    areas = [area(truth[:, c], scores[:, c]) for c in range(scores.shape[1])]
    return Parity(largest, None, min((a for a in areas if a is not None), default=None))


def area(truth: BoolArray, scores: FloatArray) -> float | None:
    """Area under the ROC curve (Mann-Whitney); None where all of `truth` is the same."""
    yes, no = scores[truth], scores[~truth]
    if not len(yes) or not len(no):
        return None
    above = yes[:, np.newaxis] - no
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def _dice(pairs: Sequence[tuple[FloatArray, FloatArray]], exclusive: bool) -> float | None:
    """Least Dice over the labels; of exclusive channels the first is background."""
    common = sizes = np.zeros(pairs[0][0].shape[1])
    for one, two in pairs:
        first, second = _decisions(one, exclusive), _decisions(two, exclusive)
        rest = (0, *range(2, first.ndim))
        common = common + np.sum(first & second, axis=rest)
        sizes = sizes + np.sum(first, axis=rest) + np.sum(second, axis=rest)
    seen = sizes > 0
    seen[0] &= not exclusive
    return float(np.min(2 * common[seen] / sizes[seen])) if seen.any() else None


def _decisions(probabilities: FloatArray, exclusive: bool) -> BoolArray:
    """Yes or no for every channel (axis 1)."""
    if not exclusive:
        return probabilities > 0.5
    channels = np.arange(probabilities.shape[1]).reshape(-1, *[1] * (probabilities.ndim - 2))
    chosen: BoolArray = np.argmax(probabilities, axis=1)[:, np.newaxis] == channels
    return chosen


def _probabilities(output: Array, activation: str) -> FloatArray:
    if activation == "softmax":
        with np.errstate(invalid="ignore"):  # what is not finite is a finding, not a warning
            powers = np.exp(output - output.max(axis=1, keepdims=True))
            shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
        return shares
    if activation == "sigmoid":
        bounded: FloatArray = np.float32(0.5) * (1 + np.tanh(output / 2))
        return bounded
    return output


def _run(model: bytes, inputs: Sequence[FloatArray], wanted: str) -> list[Array]:
    options = SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (given,) = (tensor.name for tensor in session.get_inputs())
        return [session.run([wanted], {given: array})[0] for array in inputs]
    except RUN_ERRORS as error:
        raise PackageError(f"ONNX Runtime cannot run the graph: {error}") from error


__all__ = ["LIMITS", "Limits", "Parity", "area", "compare"]
