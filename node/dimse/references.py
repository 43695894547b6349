"""The data sets of storage commitment, a reference at a time (PS3.4 Tables J.3-1 and J.3-2).

A peer may name tens of thousands of instances, and pydicom makes five kilobytes of objects of
each. Here a reference costs what its UIDs cost. What the words mean: `node.dimse.commitment`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from node.dimse.commitment import FailureReason, Reference, Report

MOST_REFERENCES: Final = 20_000
"""Of one request or report."""

_SOP_CLASS_UID: Final = 0x00081150
_SOP_INSTANCE_UID: Final = 0x00081155
_TRANSACTION_UID: Final = 0x00081195
_FAILURE_REASON: Final = 0x00081197
_FAILED: Final = 0x00081198
_REFERENCED: Final = 0x00081199
"""Transaction UID, Failed and Referenced SOP Sequence, and what their items hold."""

_ITEM: Final = 0xFFFEE000
_ENDS: Final = (0xFFFEE00D, 0xFFFEE0DD)
_UNDEFINED: Final = 0xFFFFFFFF
_LONG: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""Value representations with a length of four bytes (PS3.5 Section 7.1.2)."""
_MOST_NESTED: Final = 16
_LONGEST_UID: Final = 64
_US: Final = struct.Struct("<H")


class _Frame(NamedTuple):
    """A sequence or an item that is open.

    Parameters
    ----------
    tag
        Of the sequence; `_ITEM` for an item.
    end
        Where it ends; None: at its delimiter.
    """

    tag: int
    end: int | None


def read_request(data: bytes | bytearray, *, explicit: bool) -> tuple[str, list[Reference]]:
    """Read an N-ACTION request: its transaction and what is asked for.

    Parameters
    ----------
    explicit
        Whether value representations are written; little endian in any case.

    Raises
    ------
    ValueError
        If it is no data set, has no Transaction UID, or names nothing or too much.
    """
    reader = _Reader(data, explicit)
    reader.read()
    if not reader.referenced:
        raise ValueError("no Referenced SOP Sequence (0008,1199)")
    return _checked(reader.transaction_uid), reader.referenced


def read_report(data: bytes | bytearray, *, explicit: bool) -> Report:
    """Read an N-EVENT-REPORT. An instance that is in both sequences counts as failed.

    Raises
    ------
    ValueError
        If it is no data set, has no Transaction UID, or names too much.
    """
    reader = _Reader(data, explicit)
    reader.read()
    committed = (uid for _, uid in reader.referenced)
    return Report(
        _checked(reader.transaction_uid),
        tuple(uid for uid in committed if uid not in reader.failed),
        reader.failed,
    )


def encode_report(
    transaction_uid: str,
    committed: Iterable[Reference],
    failed: Mapping[Reference, int],
    *,
    explicit: bool,
) -> bytes:
    """Encode the data set of an N-EVENT-REPORT."""
    parts = [_uid(_TRANSACTION_UID, transaction_uid, explicit)]
    if failed:
        items = (
            _item(one, _element(_FAILURE_REASON, b"US", _US.pack(reason), explicit), explicit)
            for one, reason in failed.items()
        )
        parts.append(_element(_FAILED, b"SQ", b"".join(items), explicit))
    items = (_item(one, b"", explicit) for one in committed)
    parts.append(_element(_REFERENCED, b"SQ", b"".join(items), explicit))
    return b"".join(parts)


class _Reader:
    """Walks through a data set once, and notes what the two sequences name."""

    def __init__(self, data: bytes | bytearray, explicit: bool) -> None:
        self.transaction_uid = ""
        self.referenced: list[Reference] = []
        self.failed: dict[str, int] = {}
        self._data = data
        self._explicit = explicit
        self._open: list[_Frame] = []
        self._values: dict[int, bytes] = {}
        self._classes: dict[str, str] = {}

    def read(self) -> None:
        """Read all of it.

        Raises
        ------
        ValueError
            If it cannot be walked through, or names too much.
        """
        at = 0
        while True:
            while self._open and self._open[-1].end == at:
                self._close()
            if at == len(self._data):
                break
            at = self._take(at)
        if self._open:
            raise ValueError("a data set that ends inside a sequence")

    def _take(self, at: int) -> int:
        """Take one element, or enter a sequence or an item; where to go on."""
        tag, vr, start, length = self._header(at)
        if tag in _ENDS:
            if not self._open or self._open[-1].end is not None:
                raise ValueError("a delimiter that ends nothing")
            self._close()
            return start
        end = None if length == _UNDEFINED else start + length
        if (end or start) > self._limit():
            raise ValueError(f"an element of {length} bytes, more than there are")
        in_sequence = bool(self._open) and self._open[-1].tag != _ITEM
        if in_sequence != (tag == _ITEM):
            raise ValueError("an item outside a sequence, or something else inside it")
        if end is None and vr not in (b"", b"SQ"):
            raise ValueError("a value of undefined length")
        if tag in (_ITEM, _FAILED, _REFERENCED) or end is None:
            if len(self._open) == _MOST_NESTED:
                raise ValueError(f"sequences nested more than {_MOST_NESTED // 2} times")
            self._open.append(_Frame(tag, end))
            return start
        self._note(tag, start, end)
        return end

    def _header(self, at: int) -> tuple[int, bytes, int, int]:
        """Tag, value representation or b"", start of the value, and its length."""
        try:
            group, number, length = struct.unpack_from("<HHI", self._data, at)
            tag = group << 16 | number
            if not self._explicit or group == 0xFFFE:
                return tag, b"", at + 8, length
            vr = bytes(self._data[at + 4 : at + 6])
            if vr in _LONG:
                return tag, vr, at + 12, struct.unpack_from("<I", self._data, at + 8)[0]
            return tag, vr, at + 8, _US.unpack_from(self._data, at + 6)[0]
        except struct.error as error:
            raise ValueError("a data set that ends inside an element") from error

    def _limit(self) -> int:
        for frame in reversed(self._open):
            if frame.end is not None:
                return frame.end
        return len(self._data)

    def _note(self, tag: int, start: int, end: int) -> None:
        if not self._open and tag == _TRANSACTION_UID:
            self.transaction_uid = _text(self._data[start:end])
        elif len(self._open) == 2 and tag in (_SOP_CLASS_UID, _SOP_INSTANCE_UID, _FAILURE_REASON):
            self._values[tag] = bytes(self._data[start:end])

    def _close(self) -> None:
        """Leave a sequence or an item; an item of the two sequences is a reference."""
        frame = self._open.pop()
        if frame.tag != _ITEM or len(self._open) != 1:
            return
        values, self._values = self._values, {}
        sequence = self._open[0].tag
        if len(self.referenced) + len(self.failed) >= MOST_REFERENCES:
            raise ValueError(f"more than {MOST_REFERENCES} references")
        instance = _text(values.get(_SOP_INSTANCE_UID, b""))
        if sequence == _REFERENCED:
            # One string for all of a class.
            name = _text(values.get(_SOP_CLASS_UID, b""))
            self.referenced.append((self._classes.setdefault(name, name), instance))
        elif sequence == _FAILED:
            reason = values.get(_FAILURE_REASON, b"")
            self.failed[instance] = (
                _US.unpack(reason)[0]
                if len(reason) == _US.size
                else int(FailureReason.PROCESSING_FAILURE)
            )


def _checked(transaction_uid: str) -> str:
    if not 0 < len(transaction_uid) <= _LONGEST_UID:
        raise ValueError("no usable Transaction UID (0008,1195)")
    return transaction_uid


def _text(value: bytes | bytearray) -> str:
    if len(value) > _LONGEST_UID + 1:
        raise ValueError(f"a UID of {len(value)} bytes")
    return value.decode("latin-1").strip("\0 ")


def _item(one: Reference, more: bytes, explicit: bool) -> bytes:
    sop_class_uid, sop_instance_uid = one
    body = _uid(_SOP_CLASS_UID, sop_class_uid, explicit)
    body += _uid(_SOP_INSTANCE_UID, sop_instance_uid, explicit) + more
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def _uid(tag: int, uid: str, explicit: bool) -> bytes:
    value = uid.encode("latin-1")
    return _element(tag, b"UI", value + b"\0" * (len(value) % 2), explicit)


def _element(tag: int, vr: bytes, value: bytes, explicit: bool) -> bytes:
    group, number = tag >> 16, tag & 0xFFFF
    if not explicit:
        return struct.pack("<HHI", group, number, len(value)) + value
    if vr in _LONG:
        return struct.pack("<HH2sxxI", group, number, vr, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value
