"""Making one plan of one package: the variant, its parity gate, the build."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from engines.api import Progress
from engines.backends import onnx_file
from engines.backends.tensorrt import builder, parity, precision, profiles
from engines.backends.tensorrt.builder import BuildOptions, Built
from engines.backends.tensorrt.flavour import Flavour
from engines.backends.tensorrt.rounding import rounded
from engines.errors import PackageError
from engines.package import Package
from engines.types import FloatArray


@dataclass(frozen=True)
class Order:
    """What to build.

    Parameters
    ----------
    precision
        ``"fp32"``, ``"fp16"`` or ``"int8"``.
    options
        Of the build.
    calibration
        Inputs (N, C, …) float32 that int8 takes its ranges from; the package's self-test
        inputs if empty.
    """

    precision: str
    options: BuildOptions = field(default_factory=BuildOptions)
    calibration: tuple[FloatArray, ...] = ()


@dataclass(frozen=True)
class Made:
    """A plan and how far it is from float32.

    Parameters
    ----------
    built
        The plan.
    parity
        What the gate found; None for fp32, which is the measure.
    """

    built: Built
    parity: parity.Parity | None


def make(
    flavour: Flavour, package: Package, order: Order, progress: Progress | None = None
) -> Made:
    """Build a plan of a package; nothing is kept, and no GPU is touched but by the builder.

    Raises
    ------
    PackageError
        If the graph is not what the manifest says or cannot be built, or the variant does
        not pass its parity gate; the message has the numbers.
    BackendUnavailable
        If what makes the variant is not installed.
    """
    content = package.read_model()
    file = package.manifest.model.file
    if found := onnx_file.problems(content):
        raise PackageError("\n".join(f"{package.name}: {file}: {line}" for line in found))
    model = package.manifest.model
    names = builder.Names(model.inputs[0].name, model.outputs[0].name)
    try:
        variant, gate = _variant(package, content, order)
        wanted = profiles.wanted(package)
        built = builder.build(flavour, variant, names, wanted, order.options, progress)
    except PackageError as error:
        raise PackageError(f"{package.name}: {file}: {error}") from error
    return Made(built, gate)


def operators_kept(package: Package) -> tuple[str, ...]:
    """Name the operators that stay in float32: ours and the manifest's."""
    return tuple(sorted({*precision.KEEP, *package.manifest.model.precision.keep_fp32_ops}))


def limits(package: Package, of: str) -> parity.Limits:
    """Give the limits of a precision's gate: the manifest's, else ours."""
    own = package.manifest.model.precision.parity.model_dump(exclude_none=True)
    return replace(parity.LIMITS[of], **own)


def _variant(package: Package, content: bytes, order: Order) -> tuple[bytes, parity.Parity | None]:
    """Rewrite the graph in the order's precision and hold it against float32."""
    if order.precision == "fp32":
        return content, None
    cases = self_test_inputs(package)
    made = precision.variant(
        content,
        order.precision,
        keep=operators_kept(package),
        calibration=order.calibration or cases,
    )
    if not cases:
        raise PackageError(
            f"{order.precision} is refused: the package has no self-test to compare it on"
        )
    found = parity.compare(
        content,
        rounded(made) if order.precision == "fp16" else made,
        cases,
        wanted=package.manifest.model.outputs[0].name,
        activation=package.manifest.postprocess.activation,
    )
    if findings := found.findings(limits(package, order.precision)):
        raise PackageError(f"{order.precision} is refused: {'; '.join(findings)}")
    return made, found


def self_test_inputs(package: Package) -> tuple[FloatArray, ...]:
    """Read the inputs (N, C, …) float32 of a package's self-test.

    Raises
    ------
    PackageError
        If a case cannot be read.
    """
    return read_inputs([package.root / case for case in package.manifest.selftest.cases])


def read_inputs(files: Sequence[Path]) -> tuple[FloatArray, ...]:
    """Read the array ``input`` of npz files, as float32.

    Raises
    ------
    PackageError
        If a file cannot be read or has no such array.
    """
    arrays = []
    for file in files:
        try:
            # allow_pickle stays off: a pickle would run code of the package.
            with np.load(file, allow_pickle=False) as case:
                arrays.append(case["input"].astype(np.float32))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise PackageError(f"{file.name}: is no npz with an array `input` ({error})") from error
    return tuple(arrays)


__all__ = ["Made", "Order", "limits", "make", "operators_kept", "read_inputs", "self_test_inputs"]
