"""Runs an exported package with the project's own engine: what is measured is what ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engines.backends.onnx import OnnxBackend
from engines.package import load_package, self_test
from engines.tasks.classify import ClassifyTask
from engines.tasks.segment import SegmentTask
from engines.types import ClassificationResult, Grid, SegmentationResult, Volume

if TYPE_CHECKING:
    from pathlib import Path

    from engines.types import FloatArray, LabelArray, Result


def radiograph_volume(image: FloatArray) -> Volume:
    """Wrap a picture ``(rows, columns)`` of unknown pixel size."""
    grid = Grid((1, *image.shape), np.eye(4), patient_frame=False, spacing_known=False)
    return Volume(image[None], grid, modality="DX")


def ct_volume(voxels: FloatArray, spacing: tuple[float, float, float]) -> Volume:
    """Wrap Hounsfield units ``(z, y, x)`` of the LPS frame with their spacing in mm."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[3, 3] = 1.0
    return Volume(voxels, Grid(voxels.shape, affine), modality="CT", unit="[hnsf'U]")


class Runner:
    """One package, loaded on the processor.

    Parameters
    ----------
    folder
        The package.
    threads
        Threads inside one operator.

    Raises
    ------
    ValueError
        If the package fails its own self-test.
    """

    def __init__(self, folder: Path, *, threads: int = 2) -> None:
        self.package = load_package(folder)
        self.session = OnnxBackend(threads=threads).load(self.package, device="cpu")
        if findings := self_test(self.package, self.session):
            raise ValueError("\n".join(findings))
        segments = self.package.manifest.model.task == "segment"
        self.task = SegmentTask() if segments else ClassifyTask()

    def run(self, volume: Volume) -> Result:
        """Run the package on one volume, from voxels to the result on the same grid."""
        prepared = self.task.prepare(self.package, [volume])
        if prepared.window is not None:
            output = self.session.sweep(prepared.tensor, prepared.window)
        else:
            model = self.package.manifest.model
            given = prepared.tensor[None, :, 0]
            output = self.session.run({model.inputs[0].name: given})[model.outputs[0].name][0]
            if output.ndim == 3:
                output = output[:, None]
        return self.task.finish(self.package, output, prepared, [volume])

    def segment(self, volume: Volume) -> LabelArray:
        """Label map ``(k, j, i)`` of a volume."""
        result = self.run(volume)
        if not isinstance(result, SegmentationResult):
            message = f"{self.package.name} does not segment"
            raise TypeError(message)
        return result.labelmap

    def classify(self, volume: Volume) -> ClassificationResult:
        """Scores of a volume."""
        result = self.run(volume)
        if not isinstance(result, ClassificationResult):
            message = f"{self.package.name} does not classify"
            raise TypeError(message)
        return result
