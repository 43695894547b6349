"""What fields of a manifest say about each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from engines.package.manifest import Manifest
from engines.package.preprocess import CtZScoreStep, MinMaxStep, PercentileStep, WindowStep

Problem = tuple[tuple[str | int, ...], str]
"""Where in the manifest, and what is wrong."""

LAYOUTS = {2: "NCHW", 3: "NCDHW"}


def problems(manifest: Manifest) -> list[Problem]:
    """Find every contradiction in a manifest whose fields are valid one by one."""
    found = [*_gate(manifest), *_graph(manifest), *_preprocess(manifest), *_infer(manifest)]
    found += [*_activation(manifest), *_runtime(manifest), *_coarse(manifest)]
    found += _output(manifest)
    if manifest.model.task == "segment":
        found += [*_labels(manifest), *_segment(manifest), *_steps(manifest)]
    if manifest.model.task == "classify":
        found += _classes(manifest)
    return found


OF_A_CLASS = ("SR", "SC", "KO", "DOC")
"""Kinds of object that say which class an image has."""


def _output(manifest: Manifest) -> Iterator[Problem]:
    output, task = manifest.output, manifest.model.task
    for number, kind in enumerate(output.dicom):
        where = ("output", "dicom", number)
        if task == "classify" and kind not in OF_A_CLASS:
            yield where, f"a class cannot be written as {kind}, only as {', '.join(OF_A_CLASS)}"
        if task == "segment" and kind == "DERIVED":
            yield where, "labels are no image: DERIVED is for tasks that make one"
        if task == "segment" and kind == "PM" and not output.probabilities:
            yield where, "a parametric map is of probabilities: set probabilities: true"
    for name in _repeated(iter(output.dicom)):
        yield ("output", "dicom"), f"{name} is named twice"
    if output.probabilities and task != "segment":
        yield ("output", "probabilities"), "only task segment keeps probabilities"


def _gate(manifest: Manifest) -> Iterator[Problem]:
    if manifest.gate and manifest.gate.package == manifest.metadata.name:
        yield ("gate", "package"), "a package cannot be its own gate"


def _graph(manifest: Manifest) -> Iterator[Problem]:
    ndim = manifest.model.ndim
    for number, entry in enumerate(manifest.model.inputs):
        if entry.layout != LAYOUTS[ndim]:
            yield (
                ("model", "inputs", number, "layout"),
                f"a graph of ndim {ndim} has layout {LAYOUTS[ndim]}, not {entry.layout}",
            )
        for name in _repeated(channel.name for channel in entry.channels):
            yield ("model", "inputs", number, "channels"), f"channel name {name!r} is used twice"
    precision = manifest.model.precision
    if precision.default not in precision.allowed:
        yield (
            ("model", "precision", "default"),
            f"{precision.default} is not among allowed: {', '.join(precision.allowed)}",
        )


def _preprocess(manifest: Manifest) -> Iterator[Problem]:
    preprocess = manifest.preprocess
    if preprocess.crop and (manifest.model.ndim == 2 or manifest.model.task != "segment"):
        yield ("preprocess", "crop"), "only task segment with a 3D graph has crop"
    if preprocess.resize and manifest.model.ndim == 3:
        yield ("preprocess", "resize"), "a 3D graph takes spacing_mm, not resize"
    if preprocess.resize and preprocess.spacing_mm:
        yield ("preprocess", "resize"), "resize and spacing_mm exclude each other"
    for number, step in enumerate(preprocess.normalize):
        where = ("preprocess", "normalize", number)
        if isinstance(step, WindowStep) and step.a_min >= step.a_max:
            yield (*where, "a_max"), "a_max must be greater than a_min"
        if isinstance(step, PercentileStep | CtZScoreStep) and step.lower >= step.upper:
            yield (*where, "upper"), "upper must be greater than lower"
        if isinstance(step, WindowStep | PercentileStep | MinMaxStep) and step.b_min >= step.b_max:
            yield (*where, "b_max"), "b_max must be greater than b_min"


def _infer(manifest: Manifest) -> Iterator[Problem]:
    infer, ndim, task = manifest.infer, manifest.model.ndim, manifest.model.task
    if infer.mode == "sliding_window":
        if infer.patch is None:
            yield ("infer", "patch"), "mode sliding_window needs patch: [slices, rows, columns]"
        elif min(infer.patch) < 1:
            yield ("infer", "patch"), "a window has at least one voxel along every axis"
        if ndim != 3:
            yield ("infer", "mode"), "sliding_window needs a graph of ndim 3"
    else:
        for key in ("patch", "overlap", "blend"):
            if getattr(infer, key) is not None:
                yield ("infer", key), f"only mode sliding_window has {key}"
        if infer.skip_empty:
            yield ("infer", "skip_empty"), "only mode sliding_window has skip_empty"
    if infer.mode == "slice" and ndim != 2:
        yield ("infer", "mode"), "slice needs a graph of ndim 2"
    if task == "classify" and infer.mode != "whole":
        yield ("infer", "mode"), "task classify runs in mode whole"


def _coarse(manifest: Manifest) -> Iterator[Problem]:
    coarse, fine = manifest.infer.coarse, manifest.preprocess.spacing_mm
    if coarse is None:
        return
    where = ("infer", "coarse")
    if manifest.infer.mode != "sliding_window" or manifest.model.task != "segment":
        yield where, "only task segment in mode sliding_window has coarse"
    if (coarse.package is None) == (coarse.spacing_mm is None):
        yield where, "coarse has either package or spacing_mm"
    if coarse.package == manifest.metadata.name:
        yield (*where, "package"), "the first pass of this network itself takes spacing_mm"
    if coarse.spacing_mm is None:
        return
    if fine is None:
        yield (*where, "spacing_mm"), "a coarse spacing needs a fine one: preprocess.spacing_mm"
    elif any(have < want for have, want in zip(coarse.spacing_mm, fine, strict=True)):
        yield (*where, "spacing_mm"), "is finer than preprocess.spacing_mm"
    for value in coarse.labels:
        if value not in manifest.postprocess.labels:
            yield (*where, "labels"), f"label {value} is not among postprocess.labels"


def _runtime(manifest: Manifest) -> Iterator[Problem]:
    fixed = manifest.infer.patch or manifest.preprocess.resize
    if manifest.runtime.cuda_graph and not fixed:
        yield ("runtime", "cuda_graph"), "a graph needs one shape: infer.patch or preprocess.resize"


def _activation(manifest: Manifest) -> Iterator[Problem]:
    output, activation = manifest.model.outputs[0], manifest.postprocess.activation
    where = ("postprocess", "activation")
    if output.kind == "logits" and activation == "none":
        yield where, "an output of kind logits needs softmax or sigmoid"
    if output.kind == "probabilities" and activation != "none":
        yield where, f"an output of kind probabilities needs none, not {activation}"
    if activation == "softmax" and output.channels < 2:
        yield where, "softmax over one channel is always 1; use sigmoid"


def _labels(manifest: Manifest) -> Iterator[Problem]:
    labels, channels = manifest.postprocess.labels, manifest.model.outputs[0].channels
    where = ("postprocess", "labels")
    if not labels:
        yield where, "task segment needs labels"
    if manifest.postprocess.regions:
        yield from _regions(manifest)
        return
    # Sigmoid has no background channel, and neither has a single channel of probabilities.
    shifted = manifest.postprocess.activation == "sigmoid" or channels == 1
    highest = channels if shifted else channels - 1
    for value in labels:
        if value > highest:
            yield (
                (*where, value),
                f"an output of {channels} channels gives labels 1 … {highest}, not {value}",
            )


def _segment(manifest: Manifest) -> Iterator[Problem]:
    for name in _repeated(label.name for label in manifest.postprocess.labels.values()):
        yield ("postprocess", "labels"), f"label name {name!r} is used twice"
    for value, label in manifest.postprocess.labels.items():
        if label.laterality is not None and label.site is None:
            where = ("postprocess", "labels", value, "laterality")
            yield where, "it is the side of a site: say the site too"
    for key in ("classes", "concept", "abstain"):
        if getattr(manifest.postprocess, key):
            yield ("postprocess", key), f"task segment has no {key}"


def _regions(manifest: Manifest) -> Iterator[Problem]:
    postprocess, channels = manifest.postprocess, manifest.model.outputs[0].channels
    where = ("postprocess", "regions")
    if postprocess.activation != "sigmoid":
        yield where, f"regions need activation sigmoid, not {postprocess.activation}"
    if len(postprocess.regions) != channels:
        yield where, f"{len(postprocess.regions)} regions for an output of {channels} channels"
    for value in sorted(set(postprocess.regions) - set(postprocess.labels)):
        yield where, f"label {value} is not among postprocess.labels"
    for value in sorted(set(postprocess.labels) - set(postprocess.regions)):
        yield ("postprocess", "labels", value), f"no region paints label {value}"


def _steps(manifest: Manifest) -> Iterator[Problem]:
    for number, step in enumerate(manifest.postprocess.steps):
        where = ("postprocess", "steps", number)
        given = {key: getattr(step, key) for key in sorted(step.model_fields_set)}
        if len(given) != 1 or None in given.values():
            yield where, "a step has exactly one key"
        for key, body in given.items():
            values = body if isinstance(body, dict) else getattr(body, "labels", ())
            for value in values:
                if value not in manifest.postprocess.labels:
                    yield (*where, key), f"label {value} is not among postprocess.labels"


def _classes(manifest: Manifest) -> Iterator[Problem]:
    postprocess, output = manifest.postprocess, manifest.model.outputs[0]
    if len(postprocess.classes) != output.channels:
        yield (
            ("postprocess", "classes"),
            f"{len(postprocess.classes)} classes for an output of {output.channels} channels",
        )
    for name in _repeated(entry.name for entry in postprocess.classes):
        yield ("postprocess", "classes"), f"class name {name!r} is used twice"
    if postprocess.concept is None:
        yield ("postprocess", "concept"), "task classify needs concept: [scheme, value, meaning]"
    if output.kind == "probabilities" and postprocess.calibration.temperature != 1:
        yield ("postprocess", "calibration"), "a temperature needs an output of kind logits"
    if postprocess.abstain and postprocess.abstain[0] >= postprocess.abstain[1]:
        yield ("postprocess", "abstain"), "the band is [lowest, highest]"
    for key in ("labels", "regions", "steps", "measurements"):
        if getattr(postprocess, key):
            yield ("postprocess", key), f"task classify has no {key}"


def _findings(manifest: Manifest) -> Iterator[Problem]:
    task, postprocess = manifest.model.task, manifest.postprocess
    for number, finding in enumerate(manifest.findings):
        where = ("findings", number)
        if (finding.absent_below or 0) > finding.present_from:
            yield (*where, "absent_below"), "absent_below must not be above present_from"
        if (finding.measure == "probability") != (task == "classify"):
            yield (*where, "measure"), f"task {task} is not measured by {finding.measure}"
        if task == "classify":
            if finding.class_ not in {each.name for each in postprocess.classes}:
                yield (*where, "class"), f"{finding.class_!r} is not among postprocess.classes"
            continue
        label = postprocess.labels.get(finding.label or 0)
        if label is None:
            yield (*where, "label"), f"label {finding.label} is not among postprocess.labels"
            continue
        own = label.measurements
        measured = postprocess.measurements if own is None else own
        if finding.measure != "voxels" and finding.measure not in measured:
            yield (*where, "measure"), f"{finding.measure} is not among the label's measurements"


def _repeated(names: Iterator[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


__all__ = ["Problem", "problems"]
