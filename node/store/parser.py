"""The index's elements as pydicom reads them, held to bounds that no header can talk away.

pydicom keeps whatever a sequence holds, inflates a deflated data set whole, and believes
lengths and character sets. Here it reads through a file that counts.
"""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO, Final, TypeAlias

from pydicom.charset import python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from node.errors import PermanentError
from node.part10 import LONG_VR, MAX_VALUE_BYTES
from node.store.elements import ELEMENTS, IDENTIFIERS, LAST_TAG, Value

MAX_HEADER_BYTES: Final = 16 * 2**20
"""Read, or inflated, of one file before `LAST_TAG`; what is skipped does not count."""

MAX_READS: Final = 100_000
"""Of one file. An empty item costs three, and pydicom makes some 2 KB of memory out of it."""

_FIRST_INFLATED_BYTES: Final = 2**18
_CHUNK_BYTES: Final = 2**16
_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))

_CHARACTER_SET_TAGS: Final = (b"\x08\x00\x05\x00", b"\x00\x08\x00\x05")
_MAX_CHARACTER_SET_BYTES: Final = 256
_MISSPELT_TERM: Final = re.compile(r"ISO[^_]IR|ISO.2022.IR.")
_CODEC_NAMES: Final = frozenset(("ascii", "latin1", "utf8", "gb2312", "shiftjis", "eucjp"))
"""Python's names of codecs that pydicom takes for terms; their spelling varies."""


_IsEnd: TypeAlias = Callable[[int, str | None, int], bool]
"""Whether reading ends at an element of this tag, VR and length."""


class _IsDeflated(Exception):  # noqa: N818 - how pydicom says that it meets such a data set
    """pydicom wants all the rest of the file: it does so only to inflate it."""


class _Bounded:
    """A file as pydicom reads it, with an end to its patience.

    Parameters
    ----------
    goes_on
        Whether `file` is only the beginning of what there is.
    """

    def __init__(self, file: BinaryIO, *, goes_on: bool = False) -> None:
        self._file = file
        self._goes_on = goes_on
        self._size = file.seek(0, os.SEEK_END)
        self._bytes_left = MAX_HEADER_BYTES
        self._reads_left = MAX_READS
        self._character_set_sizes = frozenset[int]()
        self._length_follows = False
        self.was_too_short = False
        file.seek(0)
        self.tell = file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._character_set_sizes = frozenset()
        self._length_follows = False
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise _IsDeflated
        # A buffered file allocates what it is asked for, whatever it has.
        there = max(self._size - self.tell(), 0)
        found = self._file.read(min(size, there, self._bytes_left + 1))
        self._reads_left -= 1
        self._bytes_left -= len(found)
        if self._reads_left < 0 or self._bytes_left < 0:
            raise PermanentError(
                f"the header has more than {MAX_READS // 3} elements, or more than "
                f"{MAX_HEADER_BYTES} bytes, where a few hundred elements are expected"
            )
        if self._goes_on and len(found) < size:
            self.was_too_short = True
            raise PermanentError(
                f"the header is longer than {self._size} bytes inflated; nothing has one so long"
            )
        return self._without_unknown_terms(found, size)

    def _without_unknown_terms(self, found: bytes, size: int) -> bytes:
        sizes, self._character_set_sizes = self._character_set_sizes, frozenset[int]()
        if size == 4 and self._length_follows:
            self._character_set_sizes = _either_endian(found)
        elif size in sizes:
            found = _known_terms(found)
        elif size == 8 and found[:4] in _CHARACTER_SET_TAGS:
            # What pydicom takes for the length depends on what it takes the VR for.
            self._character_set_sizes = _either_endian(found[6:8]) | _either_endian(found[4:8])
            self._length_follows = found[4:6] in LONG_VR
            return found
        self._length_follows = False
        return found


def _either_endian(number: bytes) -> frozenset[int]:
    return frozenset((int.from_bytes(number, "little"), int.from_bytes(number, "big"))) - {0}


def _known_terms(character_set: bytes) -> bytes:
    """Leave the terms out that pydicom would search the installed codecs for.

    Each failed search reads directories and leaves an entry in a cache for ever. Without it
    the result is the same: text in the default repertoire.
    """
    terms = character_set[:_MAX_CHARACTER_SET_BYTES].rstrip(b" \0").split(b"\\")
    return b"\\".join(term if _is_known(term.decode("latin_1")) else b"" for term in terms)


def _is_known(term: str) -> bool:
    return (
        term in python_encoding
        or _MISSPELT_TERM.match(term) is not None
        or re.sub("[-_ ]", "", term.lower()) in _CODEC_NAMES
    )


def read_values(file: BinaryIO) -> dict[str, Value]:
    """Read the index's elements of a DICOM file with pydicom.

    Elements come in ascending order (PS3.5 Section 7.1), so reading ends behind the last
    wanted one. Only where an identifier is missing then, it goes on to the pixels.

    Returns
    -------
    dict
        By keyword; elements that are empty or cannot be read are absent.

    Raises
    ------
    PermanentError
        If the header is larger than any real one.
    Exception
        Whatever pydicom's parser meets.
    """
    values = _values(_read(file, _is_past_the_last))
    if all(word in values for word in IDENTIFIERS):
        return values
    return _values(_read(file, _is_at_pixels))


def _is_past_the_last(tag: int, vr: str | None, length: int) -> bool:
    return tag > LAST_TAG


def _is_at_pixels(tag: int, vr: str | None, length: int) -> bool:
    return tag in _PIXELS


def _read(file: BinaryIO, is_end: _IsEnd) -> Dataset:
    bounded = _Bounded(file)
    try:
        return read_partial(bounded, stop_when=is_end, specific_tags=list(ELEMENTS))  # type: ignore[arg-type]
    except _IsDeflated:
        return _read_deflated(file, bounded.tell(), is_end)


def _read_deflated(file: BinaryIO, start: int, is_end: _IsEnd) -> Dataset:
    """Read a deflated data set from the beginning of what it inflates to.

    Some megabytes can inflate to gigabytes; the header needs a few kilobytes of them.
    """
    for limit in (_FIRST_INFLATED_BYTES, MAX_HEADER_BYTES):
        file.seek(start)
        inflated, goes_on = _inflated(file, limit)
        bounded = _Bounded(BytesIO(inflated), goes_on=goes_on)
        try:
            return read_dataset(
                bounded,  # type: ignore[arg-type]
                is_implicit_VR=False,
                is_little_endian=True,
                stop_when=is_end,
                specific_tags=list(ELEMENTS),
            )
        except Exception:  # pydicom raises whatever it meets at the end of what it was given
            if not bounded.was_too_short or limit == MAX_HEADER_BYTES:
                raise
    raise AssertionError("the last limit returns or raises")


def _inflated(file: BinaryIO, limit: int) -> tuple[bytes, bool]:
    """Return at most `limit` bytes of what the rest of the file inflates to, and if it goes on."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    parts = []
    while limit > 0 and not inflater.eof:
        chunk = inflater.unconsumed_tail or file.read(_CHUNK_BYTES)
        if not chunk:
            break
        parts.append(inflater.decompress(chunk, limit))
        limit -= len(parts[-1])
    return b"".join(parts), limit == 0 and not inflater.eof


def _values(ds: Dataset) -> dict[str, Value]:
    return {
        element.keyword: value
        for tag, element in ELEMENTS.items()
        if (value := _value(ds, tag)) not in (None, "", [])
    }


def _value(ds: Dataset, tag: int) -> Any:
    """Return an element as JSON can hold it, or None where it cannot be read."""
    try:
        raw = ds.get_item(tag)
        if not isinstance(raw, RawDataElement) or len(raw.value or b"") > MAX_VALUE_BYTES:
            return None
        value = ds[tag].value
        if isinstance(value, MultiValue | list | tuple):
            return [_plain(item) for item in value]
        return None if value is None else _plain(value)
    except Exception:  # noqa: BLE001 - one broken element must not cost the instance
        return None


def _plain(value: Any) -> str | int | float:
    if isinstance(value, bytes | Sequence):
        raise TypeError("neither text nor number")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("JSON has no such number")
        return float(value)
    if isinstance(value, int):
        return int(value)
    return str(value).strip().rstrip("\x00")
