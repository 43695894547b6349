"""The manifest's section on what happens to an image before the graph."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.package.base import Number, Section

Millimetres = Annotated[float, Field(strict=True, gt=0)]
Percent = Annotated[float, Field(strict=True, ge=0, le=100)]
Pixels = Annotated[int, Field(strict=True, ge=1, le=8192)]


class WindowStep(Section):
    """Map two values of the image's unit to two numbers."""

    kind: Literal["window"] = Field(description="a fixed window")
    a_min: Number = Field(description="value that becomes b_min, unit of the image")
    a_max: Number = Field(description="value that becomes b_max, unit of the image")
    b_min: Number = Field(default=0.0, description="result at a_min")
    b_max: Number = Field(default=1.0, description="result at a_max")
    clip: bool = Field(default=True, description="whether results stay in b_min … b_max")


class PercentileStep(Section):
    """Map two percentiles of the image to two numbers."""

    kind: Literal["percentile"] = Field(description="a window from the image itself")
    lower: Percent = Field(description="percentile that becomes b_min, 0 … 100")
    upper: Percent = Field(description="percentile that becomes b_max, 0 … 100")
    b_min: Number = Field(default=0.0, description="result at the lower percentile")
    b_max: Number = Field(default=1.0, description="result at the upper percentile")
    clip: bool = Field(default=True, description="whether results stay in b_min … b_max")


class ZScoreStep(Section):
    """Subtract the image's mean and divide by its standard deviation."""

    kind: Literal["zscore"] = Field(description="mean 0, standard deviation 1")


class MaskedZScoreStep(Section):
    """Mean and deviation of the voxels that are not 0; the others become 0.

    nnU-Net's *ZScoreNormalization* where ``use_mask_for_norm`` is set, for images cut to an
    organ; MONAI's ``NormalizeIntensity(nonzero=True)``.
    """

    kind: Literal["zscore_masked"] = Field(
        description="mean 0, standard deviation 1 over the voxels that are not 0"
    )


class CtZScoreStep(Section):
    """Clip to a range, then subtract a mean and divide by a deviation of the training set.

    nnU-Net's *CTNormalization*.
    """

    kind: Literal["ct_clip_zscore"] = Field(description="the training set's statistics")
    lower: Number = Field(description="least value that stays, unit of the image")
    upper: Number = Field(description="greatest value that stays, unit of the image")
    mean: Number = Field(description="value that becomes 0, unit of the image")
    std: Number = Field(gt=0, description="distance that becomes 1, unit of the image")


class MinMaxStep(Section):
    """Map the image's own least and greatest value to two numbers."""

    kind: Literal["minmax"] = Field(description="the whole range of the image")
    b_min: Number = Field(default=0.0, description="result at the least value")
    b_max: Number = Field(default=1.0, description="result at the greatest value")


NormalizeStep = Annotated[
    WindowStep | PercentileStep | ZScoreStep | MaskedZScoreStep | CtZScoreStep | MinMaxStep,
    Field(discriminator="kind"),
]


class Resize(Section):
    """Fit each slice into a fixed size."""

    size: tuple[Pixels, Pixels] = Field(description="rows and columns the graph sees")
    keep_aspect: bool = Field(default=True, description="centre the image and pad around it")
    pad: Number = Field(default=0.0, description="value around the image, after normalisation")


class Crop(Section):
    """Cut the images to what is in them; all outside is background."""

    above: Number = Field(description="voxels that exceed this are kept, unit of the image")
    margin_mm: Number = Field(
        default=0.0, ge=0, description="what is kept around them on every side, mm"
    )


class Preprocess(Section):
    """What happens to the image before the graph.

    Three-dimensional: crop, orientation, spacing, normalisation. Two-dimensional: orientation,
    normalisation, then spacing or size.
    """

    crop: Crop | None = Field(
        default=None,
        description="box around what exceeds a value; statistics of the image are those of the box",
    )
    orientation: Literal["none", "LPS"] = Field(
        default="none",
        description="LPS: slices run to the head, rows to the back, columns to the left",
    )
    spacing_mm: tuple[Millimetres, Millimetres, Millimetres] | None = Field(
        default=None, description="voxel spacing along slice, row and column, mm"
    )
    normalize: tuple[NormalizeStep, ...] = Field(
        default=(), description="steps in order, each channel by itself"
    )
    resize: Resize | None = Field(default=None, description="fixed size of a 2D graph's input")


__all__ = [
    "Crop",
    "CtZScoreStep",
    "MaskedZScoreStep",
    "MinMaxStep",
    "NormalizeStep",
    "PercentileStep",
    "Preprocess",
    "Resize",
    "WindowStep",
    "ZScoreStep",
]
