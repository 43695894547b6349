"""Classification: one probability per class for a whole image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engines.api import Prepared, Slab
from engines.errors import InferenceError, PackageError
from engines.package import Package
from engines.package.base import code
from engines.tasks.activation import activate
from engines.tasks.image import prepare
from engines.types import ClassificationResult, ClassScore, FloatArray, Volume


class ClassifyTask:
    """Classification: one probability per class for a whole image."""

    def prepare(self, package: Package, volumes: Sequence[Volume]) -> Prepared:
        """Make the network's input; see `engines.tasks.image.prepare`."""
        return prepare(package, volumes)

    def finish(
        self,
        package: Package,
        output: FloatArray | Iterator[Slab],
        prepared: Prepared,
        volumes: Sequence[Volume],
    ) -> ClassificationResult:
        """Calibrate the classes and choose one, or abstain.

        The class chosen has the highest probability among those that reach their own
        threshold. None is chosen if none does, or while a probability lies in the package's
        band ``abstain``, ends included: that of the second class where two exclude each
        other (softmax; the first's is the complement), else the highest of all.

        Parameters
        ----------
        package
            Says what the channels mean.
        output
            float32, one number per class.
        prepared, volumes
            Not used: the answer is about the whole image.

        Raises
        ------
        InferenceError
            If there are not as many numbers as classes, or slabs of a sweep.
        """
        postprocess = package.manifest.postprocess
        if postprocess.concept is None:
            raise PackageError(f"{package.name}: task classify needs postprocess.concept")
        if not isinstance(output, np.ndarray):
            raise InferenceError("task classify takes no output in slabs")
        if output.size != len(postprocess.classes):
            raise InferenceError(
                f"the output has shape {output.shape}, expected {len(postprocess.classes)} classes"
            )
        temperature = postprocess.calibration.temperature
        values = activate(output.reshape(-1), postprocess.activation, temperature)
        scores = tuple(
            ClassScore(entry.name, code(entry.code), float(value))
            for entry, value in zip(postprocess.classes, values, strict=True)
        )
        return ClassificationResult(code(postprocess.concept), scores, _chosen(package, scores))


def _chosen(package: Package, scores: Sequence[ClassScore]) -> str | None:
    postprocess = package.manifest.postprocess
    if postprocess.abstain:
        two = postprocess.activation != "sigmoid" and len(scores) == 2
        judged = scores[1:] if two else scores
        lowest, highest = postprocess.abstain
        if lowest <= max(score.probability for score in judged) <= highest:
            return None
    reached = [
        score
        for score, entry in zip(scores, postprocess.classes, strict=True)
        if score.probability >= entry.threshold
    ]
    return max(reached, key=lambda score: score.probability).name if reached else None


__all__ = ["ClassifyTask"]
