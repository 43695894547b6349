"""One series → the volumes in it, told apart by what their headers say.

A series may hold several volumes: phases, echoes, b-values, reconstructions, beside a localizer
or reformats of another orientation. Slices are grouped by size and orientation first. Where
several slices are at one position, the one attribute is looked for, or the two, by which they
fall into volumes with one slice per position; where none does, or where two attributes do it
differently, the slices are refused: guessing would be worse than silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from node.dicom.file import HeaderReader
from node.dicom.frames import frame_headers, is_multiframe
from node.dicom.geometry import APART, DUPLICATE_TOLERANCE_MM, volume_grid
from node.dicom.header import check_readable, lenient, numbers, text
from node.errors import GeometryError


@dataclass(frozen=True)
class VolumePart:
    """One volume of a series.

    Parameters
    ----------
    files
        Indices of its files, in the order they were given.
    frames
        Of the one multi-frame file the frame numbers, from 1, increasing; empty: all of them.
    label
        What tells it from the others, such as ``"EchoTime 30"``; empty where it is alone.
    slices
        Its slices.
    spacing_mm
        Between slices, along the line through them.
    """

    files: tuple[int, ...]
    frames: tuple[int, ...]
    label: str
    slices: int
    spacing_mm: float


@lenient()
def split_series(paths: Sequence[Path]) -> tuple[list[VolumePart], list[str]]:
    """Find the volumes of one series; no pixel is decoded.

    Returns
    -------
    parts
        Each can be read by `node.dicom.volume.read_series`.
    refused
        One sentence for each group of slices that are no volume, without patient data.

    Raises
    ------
    PermanentError
        If a file cannot be read, or is not a monochrome image.
    """
    reader = HeaderReader()
    headers = [reader.read(path).header for path in paths]
    check_readable(headers)
    parts: list[VolumePart] = []
    refused: list[str] = []
    multiframe = [n for n, header in enumerate(headers) if is_multiframe(header)]
    single = [n for n in range(len(headers)) if n not in set(multiframe)]
    if single:
        _add(_volumes([headers[n] for n in single], single, ()), parts, refused)
    for n in multiframe:
        try:
            frames = frame_headers(headers[n])
        except GeometryError as error:
            refused.append(str(error))
            continue
        label = ("InstanceNumber", text(headers[n], "InstanceNumber"))
        _add(_volumes(frames, [n] * len(frames), (label,) * (len(headers) > 1)), parts, refused)
    return parts, refused


_Label = tuple[str, str]
_Group = tuple[tuple[_Label, ...], list[int]]
"""What tells a group from the others, and its indices into a list of headers."""


def _add(found: Iterable[VolumePart | str], parts: list[VolumePart], refused: list[str]) -> None:
    for one in found:
        if isinstance(one, str):
            refused.append(one)
        else:
            parts.append(one)


def _volumes(
    headers: Sequence[Dataset], files: Sequence[int], known: tuple[_Label, ...]
) -> Iterator[VolumePart | str]:
    """Yield the volumes of single-frame images or frames, and sentences about the others.

    `files` is the file of each header; all the same for the frames of one.
    """
    frames_of_one = is_multiframe(headers[0])
    kinds = _alike(headers)
    found: list[tuple[tuple[_Label, ...], _Group, float]] = []
    for kind, members in kinds:
        try:
            groups = _apart([headers[n] for n in members])
        except GeometryError as error:
            yield _sentence(kind, str(error))
            continue
        for labels, group in groups:
            chosen = [members[n] for n in group]
            try:
                grid = volume_grid([headers[n] for n in chosen]).grid
            except GeometryError as error:
                yield _sentence((*kind, *labels), str(error))
            else:
                found.append((kind, (labels, chosen), grid.spacing_mm[0]))
    several = len({kind for kind, _, _ in found}) > 1
    for kind, (labels, chosen), spacing in found:
        part = frames_of_one and len(chosen) < len(headers)
        yield VolumePart(
            files=tuple(sorted({files[n] for n in chosen})),
            frames=tuple(sorted(n + 1 for n in chosen)) if part else (),
            label=_worded((*known, *(kind if several else ()), *labels)),
            slices=len(chosen),
            spacing_mm=round(spacing, 4),
        )


def _sentence(labels: tuple[_Label, ...], reason: str) -> str:
    return f"{_worded(labels)}: {reason}" if labels else reason


def _worded(labels: Iterable[_Label]) -> str:
    return ", ".join(f"{keyword} {value}" for keyword, value in labels)


def _alike(headers: Sequence[Dataset]) -> list[_Group]:
    """Group by matrix, pixel spacing, orientation and frame of reference.

    Slices where one of these is absent are together: the error about it comes later.
    """
    kinds: list[_Kind] = []
    groups: list[list[int]] = []
    for n, header in enumerate(headers):
        kind = _kind(header)
        for known, group in zip(kinds, groups, strict=True):
            if kind.is_like(known):
                group.append(n)
                break
        else:
            kinds.append(kind)
            groups.append([n])
    described = [kind.described() for kind in kinds]
    differing = [name for name in described[0] if len({one[name] for one in described}) > 1]
    return [
        (tuple((name, one[name]) for name in differing), group)
        for one, group in zip(described, groups, strict=True)
    ]


class _Kind(NamedTuple):
    """What all slices of one volume have in common."""

    frame_of_reference: str
    matrix: tuple[str, str]
    spacing: npt.NDArray[np.float64]
    cosines: npt.NDArray[np.float64]

    def is_like(self, other: _Kind) -> bool:
        """Whether two slices may be of one volume; what is too far apart for it comes later."""
        return (
            self[:2] == other[:2]
            and self.spacing.size == other.spacing.size
            and self.cosines.size == other.cosines.size
            and bool(np.allclose(self.spacing, other.spacing, rtol=0.01))
            and bool(np.allclose(self.cosines, other.cosines, atol=0.02))
        )

    def described(self) -> dict[str, str]:
        """By keyword, for a label."""
        return {
            "ImageOrientationPatient": "\\".join(f"{value + 0.0:.2f}" for value in self.cosines),
            "PixelSpacing": "\\".join(f"{value:g}" for value in self.spacing),
            "Rows x Columns": " x ".join(self.matrix),
        }


def _kind(header: Dataset) -> _Kind:
    return _Kind(
        text(header, "FrameOfReferenceUID"),
        (text(header, "Rows"), text(header, "Columns")),
        numbers(header, "PixelSpacing", 2),
        numbers(header, "ImageOrientationPatient", 6),
    )


def _apart(headers: Sequence[Dataset]) -> list[_Group]:
    """Divide slices of one orientation into volumes with one slice per position.

    Raises
    ------
    GeometryError
        If nothing tells slices at one position apart, or if attributes disagree.
    """
    places = _places(headers)
    deepest = max(Counter(places).values()) if places is not None else 1
    if places is None or deepest == 1:
        return [((), list(range(len(headers))))]
    values = {keyword: [_value(header, keyword) for header in headers] for keyword in APART}
    telling = [keyword for keyword, found in values.items() if len(set(found)) > 1]
    for count in (1, 2):
        ways: dict[tuple[tuple[int, ...], ...], tuple[str, ...]] = {}
        for keywords in combinations(telling, count):
            groups = _divided([values[keyword] for keyword in keywords])
            if _is_complete(groups, places, deepest):
                ways.setdefault(tuple(map(tuple, groups)), keywords)
        if len(ways) > 1:
            named = " and ".join("+".join(keywords) for keywords in ways.values())
            raise GeometryError(
                f"{_count(headers, places)}, and {named} tell them apart in different ways"
            )
        for way, keywords in ways.items():
            named_groups = [
                (tuple((keyword, values[keyword][group[0]]) for keyword in keywords), list(group))
                for group in way
            ]
            return sorted(named_groups, key=_rank)
    hints = [f"{keyword} has {len(set(values[keyword]))} values" for keyword in telling]
    raise GeometryError(
        f"{_count(headers, places)}; expected one slice per position, or an attribute that tells "
        f"the volumes apart ({', '.join(hints) or 'all are alike'})"
    )


def _places(headers: Sequence[Dataset]) -> list[int] | None:
    """Number the positions of slices; None where one has none."""
    positions = [numbers(header, "ImagePositionPatient", 3) for header in headers]
    cosines = numbers(headers[0], "ImageOrientationPatient", 6)
    if not cosines.size or not all(position.size for position in positions):
        return None
    distances = np.array(positions) @ np.cross(cosines[:3], cosines[3:])
    order = np.argsort(distances, kind="stable")
    steps = np.diff(distances[order]) > DUPLICATE_TOLERANCE_MM
    places = np.empty(len(headers), int)
    places[order] = np.concatenate([[0], np.cumsum(steps)])
    return [int(place) for place in places]


def _divided(columns: Sequence[Sequence[str]]) -> list[list[int]]:
    """Group indices by equal values in all columns, in the order of first appearance."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for n, key in enumerate(zip(*columns, strict=True)):
        groups.setdefault(key, []).append(n)
    return list(groups.values())


def _is_complete(groups: Sequence[Sequence[int]], places: Sequence[int], deepest: int) -> bool:
    """Whether each group has one slice per position, and there are no more than needed."""
    if len(groups) != deepest:
        return False
    return all(len(group) > 1 and len({places[n] for n in group}) == len(group) for group in groups)


def _count(headers: Sequence[Dataset], places: Sequence[int]) -> str:
    return f"ImagePositionPatient: {len(headers)} slices are at {len(set(places))} positions"


def _rank(group: _Group) -> list[tuple[bool, float, str]]:
    """Order by values: numbers by size, before texts."""
    ranks = []
    for _, value in group[0]:
        try:
            ranks.append((False, float(value), value))
        except ValueError:
            ranks.append((True, 0.0, value))
    return ranks


def _value(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)
