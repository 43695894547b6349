"""How a journal looks on disk. Pure: bytes in, values out, and back.

The first block of `BLOCK` bytes says whose journal it is and whether it was left in order. Each
entry behind it is a header block and then the memory that the pieces of the data set lay in,
with the headers of their PDUs between them: nothing is copied together on its way to the disk.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from xxhash import xxh3_128

from node.store.direct import BLOCK

_FIRST = struct.Struct("<8s16sQBQ16s")
_FIRST_MAGIC: Final = b"WRJOURN1"
_HEADER = struct.Struct("<8s16s16sQQdIII")
_MAGIC: Final = b"WRENTRY1"
_CHECKSUM = slice(24, 40)
_PLACE = struct.Struct("<II")
_NO_CHECKSUM: Final = bytes(16)


@dataclass(frozen=True)
class FirstBlock:
    """What a journal says of itself.

    Parameters
    ----------
    key
        16 random bytes, in every entry of this journal: what a peer sends cannot look like one.
    floor
        Entries below it are of no use any more.
    in_order
        It was closed, and has no entry of use.
    ready_bytes
        So much of it has been written to once, and costs the file system nothing any more.
    """

    key: bytes
    floor: int
    in_order: bool
    ready_bytes: int

    def encode(self) -> bytes:
        """Return the whole block; its content lies in one sector, which a disk writes whole."""
        fields = (_FIRST_MAGIC, self.key, self.floor, self.in_order, self.ready_bytes)
        checksum = xxh3_128(_FIRST.pack(*fields, _NO_CHECKSUM)).digest()
        return _FIRST.pack(*fields, checksum).ljust(BLOCK, b"\0")


def decode_first(block: bytes) -> FirstBlock | None:
    """Read the first block; None if it is none, or damaged."""
    if len(block) < _FIRST.size:
        return None
    magic, key, floor, in_order, ready_bytes, _ = _FIRST.unpack_from(block)
    first = FirstBlock(key, floor, bool(in_order), ready_bytes)
    return first if magic == _FIRST_MAGIC and first.encode() == block[:BLOCK] else None


@dataclass(frozen=True)
class Header:
    """What an entry says of itself.

    Parameters
    ----------
    floor
        The lowest number that was of use when it was written.
    received_at
        Seconds since 1970.
    data_bytes
        Of the memory behind the header.
    prefix
        What comes before the pieces: preamble and File Meta Information.
    places
        First byte, in that memory, and number of bytes of each piece.
    """

    number: int
    floor: int
    received_at: float
    data_bytes: int
    prefix: bytes
    places: tuple[tuple[int, int], ...]
    checksum: bytes = _NO_CHECKSUM


def fits(prefix: bytes, pieces: int) -> bool:
    """Whether a header has room for a prefix and the places of so many pieces."""
    return _HEADER.size + len(prefix) + pieces * _PLACE.size <= BLOCK


def encode_into(block: memoryview, key: bytes, header: Header, data: memoryview) -> None:
    """Write the header of an entry into a block, with the checksum over it and its data."""
    _HEADER.pack_into(
        block,
        0,
        _MAGIC,
        key,
        _NO_CHECKSUM,
        header.number,
        header.floor,
        header.received_at,
        header.data_bytes,
        len(header.prefix),
        len(header.places),
    )
    at = _HEADER.size
    block[at : at + len(header.prefix)] = header.prefix
    at += len(header.prefix)
    for place in header.places:
        _PLACE.pack_into(block, at, *place)
        at += _PLACE.size
    block[at:] = bytes(BLOCK - at)
    block[_CHECKSUM] = _checksum(block, data)


def decode(block: memoryview, key: bytes) -> Header | None:
    """Read the header of an entry; None if it is none of this journal. Its checksum is not checked.

    A header that comes back is sound in itself: its places lie in its data.
    """
    magic, its_key = bytes(block[:8]), bytes(block[8:24])
    if magic != _MAGIC or its_key != key:
        return None
    _, _, checksum, number, floor, received_at, data_bytes, prefix_bytes, pieces = (
        _HEADER.unpack_from(block)
    )
    end = _HEADER.size + prefix_bytes + pieces * _PLACE.size
    if end > BLOCK or not data_bytes or data_bytes % BLOCK:
        return None
    prefix = bytes(block[_HEADER.size : _HEADER.size + prefix_bytes])
    places = tuple(_PLACE.iter_unpack(block[_HEADER.size + prefix_bytes : end]))
    if any(at + size > data_bytes for at, size in places):
        return None
    return Header(number, floor, received_at, data_bytes, prefix, places, checksum)


def is_intact(block: memoryview, data: memoryview) -> bool:
    """Whether header and data of an entry are as they were written."""
    return bool(_checksum(block, data) == block[_CHECKSUM].tobytes())


def _checksum(block: memoryview, data: memoryview) -> bytes:
    """XXH3, 128 bits, over the header but for itself, and over the data.

    It tells a write that a power cut has broken off: as sure as a cryptographic one, since
    nobody gains by a collision who could not send the data set itself, and ten times as fast.
    """
    checksum = xxh3_128(block[: _CHECKSUM.start])
    checksum.update(block[_CHECKSUM.stop :])
    checksum.update(data)
    return checksum.digest()
