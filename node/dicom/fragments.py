"""Where the frames of encapsulated pixel data are in a file (PS3.5 Section A.4)."""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from typing import Final

_ITEM: Final = 0xFFFEE000
_SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD
_HEADER: Final = struct.Struct("<HHI")

Fragment = tuple[int, int]
"""Offset in the file and length, bytes."""


def frame_fragments(descriptor: int, offset: int, frames: int) -> list[list[Fragment]] | None:
    """Find the fragments of every frame.

    Parameters
    ----------
    descriptor
        Of the open file.
    offset
        Of the first item, the Basic Offset Table.
    frames
        As NumberOfFrames says.

    Returns
    -------
    list or None
        One list of fragments per frame. None where the items are damaged, reach beyond the
        file, or do not say which fragment belongs to which frame: there is neither one
        fragment per frame nor an offset table that fits.
    """
    size = os.fstat(descriptor).st_size
    items: list[Fragment] = []
    while True:
        header = os.pread(descriptor, _HEADER.size, offset)
        if len(header) < _HEADER.size:
            return None
        group, element, length = _HEADER.unpack(header)
        tag, start = group << 16 | element, offset + _HEADER.size
        if tag == _SEQUENCE_DELIMITATION:
            break
        if tag != _ITEM or start + length > size:
            return None
        items.append((start, length))
        offset = start + length
    if not items:
        return None
    table, *fragments = items
    if frames == 1:
        return [fragments] if fragments else None
    if len(fragments) == frames:
        return [[fragment] for fragment in fragments]
    return _by_table(os.pread(descriptor, table[1], table[0]), fragments, frames)


def _by_table(
    content: bytes, fragments: list[Fragment], frames: int
) -> list[list[Fragment]] | None:
    """Divide fragments among frames by the Basic Offset Table."""
    if len(content) != 4 * frames or not fragments:
        return None
    first = fragments[0][0] - _HEADER.size
    index_at = {start - _HEADER.size - first: n for n, (start, _) in enumerate(fragments)}
    starts = [index_at.get(place) for (place,) in struct.iter_unpack("<I", content)]
    known = [start for start in starts if start is not None]
    bounds = [*known, len(fragments)]
    if len(known) != frames or known[0] != 0 or any(a >= b for a, b in pairwise(bounds)):
        return None
    return [fragments[start:end] for start, end in pairwise(bounds)]
