"""From logits to probabilities."""

from __future__ import annotations

import numpy as np

from engines.types import FloatArray


def activate(output: FloatArray, activation: str, temperature: float = 1.0) -> FloatArray:
    """Turn a network's output into probabilities.

    Parameters
    ----------
    output
        float32, axes (class, …).
    activation
        ``"softmax"`` over the classes, ``"sigmoid"`` of each, or ``"none"`` where the
        output holds probabilities already.
    temperature
        Logits are divided by it.

    Returns
    -------
    ndarray
        float32, same shape, 0 … 1.
    """
    if activation == "none":
        return np.clip(output, 0, 1)
    logits = output / np.float32(temperature)
    if activation == "sigmoid":
        # exp of a positive logit would overflow.
        small = np.exp(-np.abs(logits))
        large: FloatArray = 1 / (1 + small)
        return np.where(logits >= 0, large, small * large)
    powers: FloatArray = np.exp(logits - logits.max(axis=0))
    powers /= powers.sum(axis=0)
    return powers


__all__ = ["activate"]
