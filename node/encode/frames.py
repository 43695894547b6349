"""The frames of an object on the slices of its source: functional groups and pixels, streamed.

What a slice says is encoded once, whatever the number of segments on it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from engines.types import Code
from node.encode.case import Case
from node.encode.stream import element, item, sequence, sequence_start
from node.terminology import SOURCE_FOR_PROCESSING

PER_FRAME = 0x52009230


@dataclass(frozen=True)
class Frame:
    """One frame: the slice it lies on, and the number of its segment (0: of all of them)."""

    k: int
    segment: int


def used_images(case: Case, frames: Iterable[Frame]) -> list[Dataset]:
    """List the source images that frames lie on, in the order of their slices."""
    if case.source.frame_numbers is not None:
        return list(case.headers.images)
    return [case.headers.images[k] for k in sorted({frame.k for frame in frames})]


def functional_groups(
    case: Case, frames: Sequence[Frame], derivation: Code, *, by_plane: bool = True
) -> Iterator[bytes]:
    """Encode PerFrameFunctionalGroupsSequence (5200,9230).

    Parameters
    ----------
    frames
        In the order of their pixels.
    derivation
        What was done to the source images (CID 7203).
    by_plane
        Whether the position of the slice is a dimension index; not in projection images.
    """
    planes = {k: rank for rank, k in enumerate(sorted({frame.k for frame in frames}), 1)}
    parts = {k: _slice_parts(case, k, derivation) for k in planes}
    indices = (bool(frames[0].segment), by_plane)
    fixed = len(item(_frame(parts[frames[0].k], frames[0], planes, indices)))
    fixed -= sum(map(len, parts[frames[0].k]))
    sizes = {k: fixed + sum(map(len, part)) for k, part in parts.items()}
    yield sequence_start(PER_FRAME, sum(sizes[frame.k] for frame in frames))
    for frame in frames:
        yield item(_frame(parts[frame.k], frame, planes, indices))


def _frame(
    parts: tuple[bytes, bytes], frame: Frame, planes: dict[int, int], indices: tuple[bool, bool]
) -> bytes:
    by_segment, by_plane = indices
    values = ([frame.segment] if by_segment else []) + ([planes[frame.k]] if by_plane else [])
    index = element(0x00209157, b"UL", struct.pack(f"<{len(values)}I", *values))
    content = sequence(0x00209111, index if values else b"")
    segment = b""
    if by_segment:
        segment = sequence(0x0062000A, element(0x0062000B, b"US", struct.pack("<H", frame.segment)))
    source, position = parts
    return source + content + position + segment


def _slice_parts(case: Case, k: int, derivation: Code) -> tuple[bytes, bytes]:
    """Encode what every frame on a slice says: source image, and position in the patient."""
    images, numbers = case.headers.images, case.source.frame_numbers
    image = images[k] if numbers is None else images[0]
    reference = element(0x00081150, b"UI", str(image.SOPClassUID).encode())
    reference += element(0x00081155, b"UI", str(image.SOPInstanceUID).encode())
    if numbers is not None:
        reference += element(0x00081160, b"IS", str(numbers[k]).encode())
    reference += element(0x0028135A, b"CS", b"YES")  # SpatialLocationsPreserved
    reference += sequence(0x0040A170, _code(SOURCE_FOR_PROCESSING))
    source = sequence(
        0x00089124, sequence(0x00082112, reference) + sequence(0x00089215, _code(derivation))
    )
    if not case.source.volume.grid.patient_frame:
        return source, b""
    if numbers is not None:
        image = image.PerFrameFunctionalGroupsSequence[k].PlanePositionSequence[0]
    position = "\\".join(map(str, image.ImagePositionPatient)).encode()
    return source, sequence(0x00209113, element(0x00200032, b"DS", position))


def _code(code: Code) -> bytes:
    return (
        element(0x00080100, b"SH", code.value.encode())
        + element(0x00080102, b"SH", code.scheme.encode())
        + element(0x00080104, b"LO", code.meaning.encode())
    )
