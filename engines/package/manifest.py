"""The manifest of a model package, field by field."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field, JsonValue

from engines.package.base import Number, RelativePath, Section, Share, Text, Whole
from engines.package.postprocess import LabelValue, Postprocess
from engines.package.preprocess import Millimetres, Preprocess

SEMVER = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"

PrecisionName: TypeAlias = Literal["fp32", "fp16", "int8"]


class Origin(Section):
    """Where an imported model came from."""

    format: Text = Field(description="such as monai-bundle or nnunet-v2")
    ref: Text = Field(description="address or name of the original")
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="hex digest of the original file"
    )


class Metadata(Section):
    """What the model is, for people."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="name by which rules run the model: lower case, digits, dot, dash, underscore",
    )
    version: str = Field(pattern=SEMVER, description="semantic version, such as 1.4.0")
    title: Text = Field(max_length=64, description="name shown to readers")
    license: Text = Field(description="SPDX identifier or name of the licence")
    intended_use: Text = Field(
        alias="intendedUse", description="who may use the result, and for what"
    )
    content_qualification: Literal["RESEARCH", "PRODUCT"] = Field(
        default="RESEARCH",
        alias="contentQualification",
        description="Content Qualification (0018,9004) of what the model makes",
    )
    authors: tuple[Text, ...] = Field(description="who made the model")
    origin: Origin | None = Field(default=None, description="where an imported model came from")


class Channel(Section):
    """One input channel; each takes one series."""

    name: Text = Field(description="what the channel holds, such as CT or T2")


class Input(Section):
    """One input tensor of the graph."""

    name: Text = Field(description="name of the tensor in the graph")
    layout: Literal["NCHW", "NCDHW"] = Field(description="axes of the tensor")
    dtype: Literal["float32"] = Field(default="float32", description="type of the tensor")
    channels: tuple[Channel, ...] = Field(
        min_length=1, max_length=16, description="input channels, in order"
    )


class Output(Section):
    """One output tensor of the graph."""

    name: Text = Field(description="name of the tensor in the graph")
    kind: Literal["logits", "probabilities"] = Field(
        description="whether the activation still has to be applied"
    )
    channels: Whole = Field(ge=1, le=256, description="channels or classes of the tensor")


class Parity(Section):
    """How far a precision may be off from float32 on the self-test before it is refused."""

    dice: Share | None = Field(
        default=None, description="segment: least overlap of every label with float32's own"
    )
    auc: Share | None = Field(
        default=None,
        description="classify: least area under the ROC curve, float32's decisions being the truth",
    )
    largest: Share | None = Field(default=None, description="largest difference of a probability")


class Precision(Section):
    """The number types that a backend with a choice, such as TensorRT, may compute in."""

    allowed: tuple[PrecisionName, ...] = Field(
        default=("fp32",), min_length=1, description="precisions that the model was judged in"
    )
    default: PrecisionName = Field(
        default="fp32", description="the one it runs in where the backend has it"
    )
    keep_fp32_ops: tuple[Text, ...] = Field(
        default=(), description="ONNX operators that stay in float32, besides the backend's own"
    )
    parity: Parity = Field(
        default=Parity(), description="limits, instead of the backend's own, that each must pass"
    )


class Model(Section):
    """The graph and what goes in and out of it."""

    task: Text = Field(description="segment, classify, or a task that a plug-in adds")
    file: RelativePath = Field(description="ONNX file inside the package folder")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="hex digest of the ONNX file")
    ndim: Literal[2, 3] = Field(description="spatial axes the graph sees")
    inputs: tuple[Input, ...] = Field(
        min_length=1, max_length=1, description="the graph's one input"
    )
    outputs: tuple[Output, ...] = Field(
        min_length=1, max_length=1, description="the output that is read"
    )
    precision: Precision = Field(
        default=Precision(), description="number types the graph may be computed in"
    )


class Coarse(Section):
    """A first pass that finds where the fine one has to look; all outside is background.

    Windows stay where they are without it, so inside the region the labels are the same.
    """

    spacing_mm: tuple[Millimetres, Millimetres, Millimetres] | None = Field(
        default=None,
        description="this network itself finds the region at this voxel spacing along slice, row "
        "and column, mm",
    )
    package: Text | None = Field(
        default=None, description="or the model package of task segment that finds it, by name"
    )
    labels: tuple[LabelValue, ...] = Field(
        default=(), description="labels of the first pass that make the region; all by default"
    )
    margin_mm: Number = Field(
        default=10.0, ge=0, description="what is looked at around them on every side, mm"
    )


class Infer(Section):
    """How the graph is run over an image."""

    mode: Literal["whole", "sliding_window", "slice"] = Field(
        description="the whole image at once, window by window, or each slice as a 2D image"
    )
    patch: tuple[Whole, Whole, Whole] | None = Field(
        default=None, description="window size along slice, row and column, voxels"
    )
    overlap: Number | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="share of a window that its neighbour covers again; 0.5 by default",
    )
    blend: Literal["gaussian", "constant"] | None = Field(
        default=None, description="weight inside a window; gaussian by default"
    )
    batch: Whole = Field(default=1, ge=1, le=256, description="windows or slices per call")
    skip_empty: bool = Field(
        default=False,
        description="windows that hold the least value of the image, after normalisation, and "
        "nothing else are not run, but are background",
    )
    coarse: Coarse | None = Field(
        default=None, description="a first pass that finds where the fine one has to look"
    )


class Outputs(Section):
    """What DICOM objects the result becomes."""

    dicom: tuple[
        Literal["SEG", "SR", "SC", "PM", "RTSTRUCT", "DERIVED", "PR", "KO", "DOC"], ...
    ] = Field(
        min_length=1,
        description="objects to write: segmentation, structured report, capture, parametric map, "
        "contours, derived images, presentation state, key objects, PDF report",
    )
    probabilities: bool = Field(
        default=False,
        description="keep the probability of every label in every voxel, for parametric maps and "
        "fractional segmentations: a byte per label and voxel",
    )
    series_description: Text = Field(max_length=48, description="Series Description of the result")


class Runtime(Section):
    """What running the model needs."""

    cpu: Literal["allowed", "fast-only", "never"] = Field(
        default="allowed",
        description="may it run without a GPU: yes; only with windows that overlap by a quarter "
        "at most; no",
    )
    gpu_memory_mb: Whole | None = Field(
        default=None,
        ge=1,
        description="GPU memory of the loaded model with one batch, MiB; by default estimated from "
        "the size of the file",
    )
    timeout_s: Number = Field(
        default=600.0,
        gt=0,
        description="longest useful run, seconds; a run that takes longer is given up",
    )
    cuda_graph: bool = Field(
        default=False,
        description="queue the network as one captured CUDA graph, for networks of many short "
        "steps; TensorRT with cuda-bindings only",
    )


class Gate(Section):
    """A classifier that is asked first, and what it must not say."""

    package: str = Field(description="name of a model package of task classify")
    refuse: tuple[str, ...] = Field(
        min_length=1,
        description="classes for which this model is not run; where the classifier abstains it is",
    )


class ReportedFinding(Section):
    """What a label or a class is called in a report, and from which value it is there."""

    concept: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="id of the finding in the lexicon of reports, such as pneumothorax",
    )
    label: Whole | None = Field(
        default=None, ge=1, le=255, description="task segment: value in the label map"
    )
    class_: Text | None = Field(
        default=None, alias="class", description="task classify: name of the class"
    )
    laterality: Literal["left", "right"] | None = Field(
        default=None, description="side of the patient that it is about; left out: either"
    )
    measure: Literal["volume_ml", "area_mm2", "voxels", "probability"] = Field(
        description="what is compared: of a label one of the first three, of a class the last"
    )
    present_from: Number = Field(ge=0, description="this much or more: it is there")
    absent_below: Number | None = Field(
        default=None,
        ge=0,
        description="less than this: it is not there; between the two nothing is compared; by "
        "default the same as present_from",
    )


class Tolerance(Section):
    """How far a self-test may be off."""

    max_abs: Number = Field(default=1e-3, gt=0, description="largest absolute difference")


class SelfTest(Section):
    """Known answers."""

    cases: tuple[RelativePath, ...] = Field(
        default=(), description="npz files with the graph's arrays `input` and `output`"
    )
    tolerance: Tolerance = Field(default=Tolerance(), description="largest difference accepted")


class Manifest(Section):
    """A model package: what it is, which images it takes, how it runs, what its output means."""

    api_version: Literal["wetread/v1"] = Field(
        alias="apiVersion", description="version of this form"
    )
    kind: Literal["ModelPackage"] = Field(description="kind of document")
    metadata: Metadata = Field(description="what the model is, for people")
    model: Model = Field(description="the graph and what goes in and out of it")
    select: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="DICOM keyword or computed property → condition; the node interprets it",
    )
    gate: Gate | None = Field(
        default=None, description="a classifier that says which images are not for this model"
    )
    preprocess: Preprocess = Field(
        default=Preprocess(), description="what happens to the image before the graph"
    )
    infer: Infer = Field(description="how the graph is run over an image")
    postprocess: Postprocess = Field(description="what the graph's output means")
    output: Outputs = Field(description="what DICOM objects the result becomes")
    findings: tuple[ReportedFinding, ...] = Field(
        default=(), description="what of the result is held against radiologists' reports"
    )
    runtime: Runtime = Field(default=Runtime(), description="what running the model needs")
    selftest: SelfTest = Field(default=SelfTest(), description="known answers")


def manifest_json_schema() -> dict[str, Any]:
    """JSON Schema of manifest.yaml, for editors and the documentation."""
    return Manifest.model_json_schema(by_alias=True)


__all__ = ["Manifest", "manifest_json_schema"]
