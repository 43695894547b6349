"""Which MONAI transforms our manifest can express, and by which keys.

`PREPARE` and `FINISH` are the whole list: a name that is not in them is refused.
Each entry reads the transform's arguments into a `Reading`; arguments it does not read
are refused as well (`Arguments.finish`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engines.errors import PackageError
from engines.importing.config import Arguments


@dataclass
class Reading:
    """What the transforms seen so far amount to.

    Parameters
    ----------
    channels
        Input channels: statistics over one channel or over all are the same for one.
    labels
        Values of the label map, for steps that name none.
    axcodes
        Where the network's axes run to, such as ``RAS``.
    pixdim, pixdim_turned
        Spacing in mm along the network's axes, and whether they were turned before it.
    normalize, crop, steps
        Entries of the manifest.
    activation, argmax, threshold
        What makes labels of the output.
    notes
        What the node does otherwise, one sentence each.
    """

    channels: int
    labels: tuple[int, ...]
    axcodes: str | None = None
    pixdim: tuple[float, float, float] | None = None
    pixdim_turned: bool = False
    normalize: list[dict[str, Any]] = field(default_factory=list)
    crop: dict[str, float] | None = None
    activation: str | None = None
    argmax: bool = False
    threshold: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Rule = Callable[[Arguments, Reading], None]


def read(transforms: list[Arguments], rules: Mapping[str, Rule], reading: Reading) -> None:
    """Apply the rules to a list of transforms, in order.

    Transforms that do not touch the entry the first one works on (the label image that
    only training has) are passed over.

    Raises
    ------
    PackageError
        With the name of the transform that cannot be expressed, and the argument.
    """
    for transform in transforms:
        if transforms[0].keys and transforms[0].keys[0] not in transform.keys:
            continue
        name = transform.name
        for ending in ("Dict", "D"):
            if name.endswith(ending):
                name = name.removesuffix(ending) + "d"
                break
        if name not in rules:
            raise PackageError(f"{transform.name}: cannot be expressed in a manifest")
        rules[name](transform, reading)
        if name not in _WITHOUT_NUMBERS:
            transform.finish()


def _nothing(transform: Arguments, reading: Reading) -> None:
    """Types, devices, files: the node does these by itself."""


def _cast(transform: Arguments, reading: Reading) -> None:
    value = transform.get("dtype", "float32")
    if isinstance(value, str) and value.rsplit(".", 1)[-1] not in ("float", "float32"):
        raise PackageError(f"{transform.name}: dtype {value!r} cannot be expressed, only float32")


def _orientation(transform: Arguments, reading: Reading) -> None:
    transform.ignore("labels")
    transform.must("as_closest_canonical", [False], False)
    reading.axcodes = str(transform.get("axcodes"))
    if reading.pixdim and len(set(reading.pixdim)) > 1 and not reading.pixdim_turned:
        raise PackageError(
            f"{transform.name}: after Spacingd with {list(reading.pixdim)}: which axis has which "
            "spacing depends on the file; put Orientationd first"
        )


def _spacing(transform: Arguments, reading: Reading) -> None:
    transform.ignore(
        "padding_mode", "align_corners", "dtype", "recompute_affine", "ensure_same_shape"
    )
    transform.must("mode", ["bilinear", 1], "bilinear")
    transform.must("diagonal", [False], False)
    transform.must("scale_extent", [False, True], False)
    transform.must("min_pixdim", [None], None)
    transform.must("max_pixdim", [None], None)
    value = transform.get("pixdim")
    value = [value] * 3 if isinstance(value, int | float) else value
    if not isinstance(value, list) or len(value) != 3 or not all(
        isinstance(each, int | float) and each > 0 for each in value
    ):  # fmt: skip
        raise PackageError(f"{transform.name}: pixdim {value!r}: expected three numbers, mm")
    reading.pixdim = (float(value[0]), float(value[1]), float(value[2]))
    reading.pixdim_turned = reading.axcodes is not None
    reading.notes.append(
        "Spacingd interpolates linearly and does not blur; the node blurs axes that shrink first, "
        "and keeps outer edges in place rather than voxel centres."
    )


def _range(transform: Arguments, reading: Reading) -> None:
    transform.ignore("dtype")
    low, high = transform.number("a_min"), transform.number("a_max")
    b_min, b_max = transform.get("b_min"), transform.get("b_max")
    if b_min is None or b_max is None:
        b_min, b_max = 0.0, 1.0
    clip = transform.flag("clip", False)
    reading.normalize.append(window(low, high, float(b_min), float(b_max), clip=clip))


def _scale(transform: Arguments, reading: Reading) -> None:
    transform.ignore("dtype")
    transform.must("factor", [None], None)
    _by_channel(transform, reading, transform.flag("channel_wise", False))
    low, high = transform.number("minv", 0.0), transform.number("maxv", 1.0)
    reading.normalize.append({"kind": "minmax", "b_min": low, "b_max": high})


def _percentiles(transform: Arguments, reading: Reading) -> None:
    transform.ignore("dtype")
    transform.must("relative", [False], False)
    _by_channel(transform, reading, transform.flag("channel_wise", False))
    lower, upper = transform.number("lower"), transform.number("upper")
    low, high = transform.number("b_min"), transform.number("b_max")
    clip = transform.flag("clip", False)
    reading.normalize.append(percentile(lower, upper, low, high, clip=clip))


def _normalize(transform: Arguments, reading: Reading) -> None:
    transform.ignore("dtype")
    masked = transform.flag("nonzero", False)
    if transform.get("subtrahend") is None and transform.get("divisor") is None:
        _by_channel(transform, reading, transform.flag("channel_wise", False))
        reading.normalize.append({"kind": "zscore_masked" if masked else "zscore"})
        return
    transform.ignore("channel_wise")
    transform.must("nonzero", [False], False)
    mean, deviation = transform.number("subtrahend"), transform.number("divisor")
    if deviation <= 0:
        raise PackageError(f"{transform.name}: divisor {deviation} cannot be expressed, only > 0")
    reading.normalize.append(window(mean, mean + deviation, 0.0, 1.0, clip=False))


def _by_channel(transform: Arguments, reading: Reading, channel_wise: bool) -> None:
    """Refuse statistics over several channels at once."""
    if reading.channels > 1 and not channel_wise:
        raise PackageError(
            f"{transform.name}: channel_wise false over {reading.channels} channels cannot be "
            "expressed, only each channel by itself"
        )


def _crop(transform: Arguments, reading: Reading) -> None:
    """Map a crop to what exceeds 0, wherever that 0 lies in the unit of the image."""
    transform.ignore(
        "source_key", "k_divisible", "mode", "allow_smaller", "return_coords",
        "start_coord_key", "end_coord_key",
    )  # fmt: skip
    transform.must("select_fn", [None], None)
    transform.must("channel_indices", [None, 0], None)
    above = 0.0
    if reading.normalize:
        first = reading.normalize[0]
        if len(reading.normalize) > 1 or first["kind"] != "window" or first["b_min"] != 0:
            raise PackageError(
                f"{transform.name}: after {first['kind']}: where 0 lies in the unit of the image "
                "cannot be expressed"
            )
        above = first["a_min"]
    margin, steps = transform.number("margin", 0), set(reading.pixdim or ())
    if margin and len(steps) != 1:
        raise PackageError(f"{transform.name}: margin {margin:g} is voxels of no one size in mm")
    reading.crop = {"above": above, "margin_mm": margin * steps.pop() if margin else 0.0}


def _activations(transform: Arguments, reading: Reading) -> None:
    transform.must("other", [None], None)
    transform.ignore("dim", "kwargs")
    softmax, sigmoid = transform.flag("softmax", False), transform.flag("sigmoid", False)
    if softmax and sigmoid:
        raise PackageError(f"{transform.name}: softmax and sigmoid exclude each other")
    if softmax or sigmoid:
        reading.activation = "softmax" if softmax else "sigmoid"


def _discrete(transform: Arguments, reading: Reading) -> None:
    transform.ignore("to_onehot", "dtype", "dim", "keepdim", "num_classes", "n_classes")
    transform.must("rounding", [None], None)
    if transform.flag("argmax", False):
        reading.argmax = True
        return
    if transform.get("threshold") is not None:
        transform.must("threshold", [0.5], None)
        reading.threshold = True


def _invert(transform: Arguments, reading: Reading) -> None:
    transform.ignore(
        "transform", "orig_keys", "orig_meta_keys", "to_tensor", "post_func", "data_type",
        "nearest_interp",
    )  # fmt: skip
    if transform.flag("nearest_interp", True) or reading.argmax:
        reading.notes.append(
            "Invertd brings labels back by the nearest voxel; the node brings probabilities back "
            "linearly and chooses the label there."
        )


def _keep_largest(transform: Arguments, reading: Reading) -> None:
    transform.ignore("is_onehot")
    transform.must("connectivity", [None, 3], None)
    values = _applied(transform, reading)
    if len(values) > 1:
        transform.must("independent", [True], True)
    else:
        transform.ignore("independent")
    components = int(transform.number("num_components", 1))
    reading.steps.append({"keep_largest": {"labels": values, "components": components}})
    reading.notes.append(
        "KeepLargestConnectedComponentd counts neighbours across edges and corners; the node "
        "counts those across faces."
    )


def _fill_holes(transform: Arguments, reading: Reading) -> None:
    transform.must("connectivity", [None], None)
    reading.steps.append({"fill_holes": {"labels": _applied(transform, reading)}})


def _applied(transform: Arguments, reading: Reading) -> list[int]:
    values = transform.get("applied_labels")
    values = [values] if isinstance(values, int) else values
    return [int(value) for value in values or reading.labels if value != 0]


def window(a_min: float, a_max: float, b_min: float, b_max: float, *, clip: bool) -> dict[str, Any]:
    """Make a ``window`` step of the manifest."""
    ends = {"a_min": a_min, "a_max": a_max, "b_min": b_min, "b_max": b_max}
    return {"kind": "window", **ends, "clip": clip}


def percentile(
    lower: float, upper: float, b_min: float, b_max: float, *, clip: bool
) -> dict[str, Any]:
    """Make a ``percentile`` step of the manifest."""
    ends = {"lower": lower, "upper": upper, "b_min": b_min, "b_max": b_max}
    return {"kind": "percentile", **ends, "clip": clip}


_WITHOUT_NUMBERS = {
    "LoadImaged", "EnsureChannelFirstd", "AddChanneld", "AsChannelFirstd", "EnsureTyped",
    "ToTensord", "ToDeviced", "SaveImaged",
}  # fmt: skip

PREPARE: Mapping[str, Rule] = {
    **dict.fromkeys(sorted(_WITHOUT_NUMBERS - {"SaveImaged"}), _nothing),
    "CastToTyped": _cast,
    "CropForegroundd": _crop,
    "NormalizeIntensityd": _normalize,
    "Orientationd": _orientation,
    "ScaleIntensityRangePercentilesd": _percentiles,
    "ScaleIntensityRanged": _range,
    "ScaleIntensityd": _scale,
    "Spacingd": _spacing,
}
"""Before the network: name → how it is read."""

FINISH: Mapping[str, Rule] = {
    **dict.fromkeys(("EnsureTyped", "SaveImaged", "ToDeviced", "ToTensord"), _nothing),
    "Activationsd": _activations,
    "AsDiscreted": _discrete,
    "FillHolesd": _fill_holes,
    "Invertd": _invert,
    "KeepLargestConnectedComponentd": _keep_largest,
}
"""After the network: name → how it is read."""

__all__ = ["FINISH", "PREPARE", "Reading", "percentile", "read", "window"]
