"""Which input shapes a plan is built for: what the manifest's way of running needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.errors import PackageError
from engines.package import Package

Shape = tuple[int, ...]

_WHOLE = {2: (512, 2048), 3: (128, 320)}
"""Usual and largest size per axis of images run whole, by number of axes."""

_SMALLEST = (1, 32)
"""Least sizes per axis of images run whole, tried in turn.

Networks whose levels meet again only at multiples of their stride cannot be built for one
voxel; 32 = 2 to the 5 serves five levels.
"""


@dataclass(frozen=True)
class Profile:
    """Shapes (N, C, …) of the input that one plan accepts.

    Parameters
    ----------
    least, usual, most
        Smallest, the one the plan is tuned for, largest; axis by axis.
    """

    least: Shape
    usual: Shape
    most: Shape

    def __str__(self) -> str:
        return " … ".join("×".join(map(str, shape)) for shape in (self.least, self.most))


def wanted(package: Package) -> tuple[Profile, ...]:
    """Say which shapes a package is run with; the first that can be built is used.

    Windows and resized images have one size; images run whole or slice by slice without a
    resize have any. The batch goes from one to the manifest's ``infer.batch``.
    """
    manifest = package.manifest
    channels, batch = len(manifest.model.inputs[0].channels), manifest.infer.batch
    size: Sequence[int] | None = None
    if manifest.infer.mode == "sliding_window":
        size = manifest.infer.patch
    elif manifest.preprocess.resize:
        size = manifest.preprocess.resize.size
    if size is not None:
        fixed = (channels, *size)
        return (Profile((1, *fixed), (batch, *fixed), (batch, *fixed)),)
    axes = manifest.model.ndim
    usual, most = _WHOLE[axes]
    return tuple(
        Profile(
            (1, channels, *[least] * axes),
            (batch, channels, *[usual] * axes),
            (batch, channels, *[most] * axes),
        )
        for least in _SMALLEST
    )


def fitted(profile: Profile, shape: Sequence[int]) -> Profile:
    """Fix the axes that the graph itself fixes.

    Parameters
    ----------
    profile
        What the manifest wants.
    shape
        The graph's input, -1 where any size does.

    Raises
    ------
    PackageError
        If the graph has other axes, or fixes one, other than the batch, to a size that the
        manifest does not want.
    """
    if len(shape) != len(profile.least):
        raise PackageError(
            f"the graph's input has {len(shape)} axes, the manifest's {len(profile.least)}"
        )
    for axis, (size, least, most) in enumerate(
        zip(shape, profile.least, profile.most, strict=True)
    ):
        if axis > 0 and size >= 0 and not least <= size <= most:
            raise PackageError(
                f"the graph fixes axis {axis} of its input to {size}, the manifest runs it with "
                f"{least if least == most else f'{least} to {most}'}"
            )
    return Profile(
        *(
            tuple(want if size < 0 else size for want, size in zip(given, shape, strict=True))
            for given in (profile.least, profile.usual, profile.most)
        )
    )


__all__ = ["Profile", "Shape", "fitted", "wanted"]
