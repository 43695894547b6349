"""What a source says about its model, in our words, before there is an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engines.errors import PackageError

Document: TypeAlias = Mapping[str, Any]
"""Parsed JSON or YAML."""

Shape: TypeAlias = tuple[int, int, int]

# Letter of an axis code → the axis of (k, j, i) it lies along, and whether it runs against
# that axis of LPS: k to the head, j to the back, i to the left.
_LETTERS = {
    "S": (0, False), "I": (0, True),
    "P": (1, False), "A": (1, True),
    "L": (2, False), "R": (2, True),
}  # fmt: skip


@dataclass(frozen=True)
class Axes:
    """How a network's three spatial axes lie in the engines' (k, j, i) of LPS.

    Parameters
    ----------
    order
        For each axis of the network, the axis of (k, j, i) it lies along.
    flips
        For each axis of the network, whether it runs against that axis.
    """

    order: Shape
    flips: tuple[bool, bool, bool]

    def reordered(self, values: Sequence[Any]) -> list[Any]:
        """Bring one value per axis of the network into the order (k, j, i)."""
        return [values[self.order.index(axis)] for axis in range(3)]


LPS = Axes((0, 1, 2), (False, False, False))
"""The engines' own axes."""


def axes_of(axcodes: str) -> Axes:
    """Read axis codes such as ``RAS``: where each axis of an array runs to.

    The codes are those of nibabel and MONAI: the letter names the end the index grows to.

    Raises
    ------
    PackageError
        If the codes are not three letters for three different axes.
    """
    found = [_LETTERS.get(letter) for letter in axcodes]
    known = [each for each in found if each is not None]
    if len(axcodes) != 3 or sorted(axis for axis, _ in known) != [0, 1, 2]:
        raise PackageError(
            f"Orientationd: axcodes {axcodes!r} are not three of L/R, P/A, S/I, such as RAS"
        )
    (first, flip0), (second, flip1), (third, flip2) = known
    return Axes((first, second, third), (flip0, flip1, flip2))


@dataclass(frozen=True)
class Draft:
    """A manifest without its ONNX file, and what exporting needs to know.

    Parameters
    ----------
    manifest
        As in ``manifest.yaml``, but for ``model.sha256`` and ``selftest``.
    axes
        How the network's axes lie; the exported graph turns them.
    example
        Voxels (k, j, i) of the input of the known answer.
    notes
        What the package does otherwise than the source, one sentence each.
    """

    manifest: dict[str, Any]
    axes: Axes
    example: Shape
    notes: tuple[str, ...] = field(default=())


def package_name(name: str) -> str:
    """Make a package name of any text: lower case, digits, dots, dashes, underscores."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._") else "-" for c in name.lower())
    return kept.strip("-._")[:64] or "imported"


__all__ = ["LPS", "Axes", "Document", "Draft", "Shape", "axes_of", "package_name"]
