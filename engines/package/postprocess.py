"""The manifest's section on what the graph's output means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.package.base import CodeTriple, Number, Section, Share, Text, Whole

LabelValue = Annotated[int, Field(strict=True, ge=1, le=255)]
Colour = Annotated[int, Field(strict=True, ge=0, le=255)]
Millilitres = Annotated[float, Field(strict=True, ge=0)]
MeasurementName = Literal["area_mm2", "volume_ml", "mean_hu", "extent_mm"]


class LabelEntry(Section):
    """One value of the label map."""

    name: Text = Field(max_length=64, description="short name, unique in the package")
    category: CodeTriple = Field(description="segmented property category [scheme, value, meaning]")
    type: CodeTriple = Field(description="segmented property type [scheme, value, meaning]")
    color: tuple[Colour, Colour, Colour] = Field(description="display colour, sRGB, 0 … 255")
    site: CodeTriple | None = Field(
        default=None,
        description="where it is, for a finding whose type does not say it: [scheme, value, "
        "meaning]; the reports' Finding Site",
    )
    laterality: Literal["left", "right", "bilateral"] | None = Field(
        default=None, description="side of the site; only with it"
    )
    measurements: tuple[MeasurementName, ...] | None = Field(
        default=None, description="measurements of this label, instead of the package's"
    )


class KeepLargest(Section):
    """Keep the largest connected components of each label."""

    labels: tuple[LabelValue, ...] = Field(min_length=1, description="labels, each by itself")
    components: Whole = Field(default=1, ge=1, description="components to keep of each")


class FillHoles(Section):
    """Fill the background that a label encloses; 2D for one slice, else 3D."""

    labels: tuple[LabelValue, ...] = Field(min_length=1, description="labels, each by itself")


class Step(Section):
    """One clean-up step: exactly one key."""

    keep_largest: KeepLargest | None = Field(
        default=None, description="keep the largest connected components"
    )
    fill_holes: FillHoles | None = Field(default=None, description="fill enclosed background")
    min_volume_ml: dict[LabelValue, Millilitres] | None = Field(
        default=None, description="label → smallest component that stays, ml"
    )
    min_area_fraction: dict[LabelValue, Share] | None = Field(
        default=None, description="label → smallest component that stays, share of the image"
    )


class ClassEntry(Section):
    """One class of a classifier."""

    name: Text = Field(max_length=64, description="short name, unique in the package")
    code: CodeTriple = Field(description="code of the class [scheme, value, meaning]")
    threshold: Share = Field(
        default=0.5, description="least probability at which the class can be chosen"
    )


class Calibration(Section):
    """Temperature scaling."""

    temperature: Number = Field(default=1.0, gt=0, description="logits are divided by it")


class Postprocess(Section):
    """What the graph's output means."""

    activation: Literal["softmax", "sigmoid", "none"] = Field(
        description="what turns logits into probabilities; none where the graph does so itself"
    )
    labels: dict[LabelValue, LabelEntry] = Field(
        default_factory=dict,
        description="segment: value → label. Softmax: value = output channel, 0 is background; "
        "sigmoid: value = output channel + 1",
    )
    regions: tuple[LabelValue, ...] = Field(
        default=(),
        description="segment, sigmoid: the label that each output channel paints where its "
        "probability exceeds 0.5, later channels over earlier ones (nnU-Net's "
        "regions_class_order)",
    )
    steps: tuple[Step, ...] = Field(default=(), description="clean-up of the label map, in order")
    classes: tuple[ClassEntry, ...] = Field(
        default=(), description="classify: the classes, in the order of the output channels"
    )
    concept: CodeTriple | None = Field(
        default=None, description="classify: what is classified [scheme, value, meaning]"
    )
    calibration: Calibration = Field(
        default=Calibration(), description="classify: calibration of the logits"
    )
    abstain: tuple[Share, Share] | None = Field(
        default=None,
        description="classify: [lowest, highest]; no class is chosen while the probability of "
        "the second of two exclusive classes, else the highest of all, lies in it",
    )
    measurements: tuple[MeasurementName, ...] = Field(
        default=(), description="segment: what is measured of each label found"
    )


__all__ = ["MeasurementName", "Postprocess", "Step"]
