"""The part of a header that the index keeps, read from the bytes as they came."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from node.errors import PermanentError
from node.part10 import Unsure, are_implicit
from node.store.columns import MAX_UID_LENGTH
from node.store.elements import IDENTIFIERS, KEYWORDS, PATIENT, Header, Value
from node.store.likeness import Likeness
from node.store.parser import read_values
from node.store.scanner import WINDOW_BYTES, scan, scan_beginning

_ONE_AT_A_TIME = threading.Lock()
"""pydicom's memory is bounded for one header, and Python's warning filters are one for all."""
SHORT_BYTES: Final = 16384
"""Looked at first of what has begun to come: they hold nearly every header."""

_NEEDED: Final = frozenset(IDENTIFIERS)


class _Sender(threading.local):
    """What is remembered of one sender: each has a thread, and it is forgotten with that."""

    def __init__(self) -> None:
        self.likeness = Likeness()


_of_the_sender = _Sender()


def header_of_file(path: Path) -> Header:
    """Read the identifiers and rule elements of a DICOM file on disk; see `header_of`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return header_of(descriptor)
    finally:
        os.close(descriptor)


def header_of(descriptor: int) -> Header:
    """Read the identifiers and rule elements of an open DICOM file.

    The fast scanner reads it; what it is not sure of, pydicom reads.

    Raises
    ------
    PermanentError
        If the data set cannot be parsed, or lacks one of the four identifiers.
    OSError
        If the file cannot be read.
    """
    found = _complete(scan(lambda offset: os.pread(descriptor, WINDOW_BYTES, offset)))
    if found is not None:
        return found
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return read_header(file)


def header_of_content(content: bytes) -> Header:
    """Read the identifiers and rule elements of a DICOM file in memory; see `header_of`.

    Raises
    ------
    PermanentError
        If the data set cannot be parsed, or lacks one of the four identifiers.
    """
    found = _complete(scan(lambda offset: content[offset : offset + WINDOW_BYTES]))
    return read_header(BytesIO(content)) if found is None else found


def header_begun(
    first: Callable[[int], bytes],
    meta_bytes: int,
    transfer_syntax_uid: str,
    likeness: Likeness | None = None,
) -> Header | None:
    """Read them from what has come of a file; None where `header_of` must.

    Parameters
    ----------
    first
        Gives so many of the first bytes of the file, or as many as have come.
    meta_bytes
        Of preamble and File Meta Information, which say that transfer syntax.
    likeness
        Of the images that came before; None: of those that came in this thread.
    """
    likeness = likeness or _of_the_sender.likeness
    shown = first(SHORT_BYTES)
    try:
        implicit = are_implicit(shown, meta_bytes, transfer_syntax_uid.encode())
    except Unsure:
        return None
    if (alike := likeness.read(shown, meta_bytes, implicit)) is not None:
        return alike
    shown = first(WINDOW_BYTES)
    if (alike := likeness.read(shown, meta_bytes, implicit)) is not None:
        return alike
    try:
        header = _complete(scan_beginning(shown, meta_bytes, implicit))
    except PermanentError:
        return None
    if header is not None:
        likeness.learn(shown, meta_bytes, implicit, header)
    return header


def _complete(values: Mapping[str, Value] | None) -> Header | None:
    if values is None or not values.keys() >= _NEEDED:
        return None
    return header_of_values(values)


@lru_cache(64)
def patient_digest(patient_id: str, issuer: str) -> str:
    """Return SHA-256 in hex over PatientID and its issuer; "" without a PatientID.

    It says whether two instances name the same patient without saying whom. White space
    around a value is padding (PS3.5 Section 6.2); case is kept.
    """
    if not (patient_id := patient_id.strip()):
        return ""
    return hashlib.sha256(
        f"{patient_id}\x1f{issuer.strip()}".encode(errors="surrogatepass")
    ).hexdigest()


def read_header(file: BinaryIO) -> Header:
    """Read the identifiers and rule elements of a DICOM file with pydicom, pixels left alone.

    Raises
    ------
    PermanentError
        If the data set cannot be parsed, or lacks one of the four identifiers.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        # Field data breaks value rules all the time; what matters here is what can be read.
        warnings.simplefilter("ignore")
        try:
            values = read_values(file)
        except PermanentError:
            raise
        except Exception as error:  # pydicom raises whatever its parser meets
            raise PermanentError(
                f"the data set cannot be parsed: {type(error).__name__}"
            ) from error
    return header_of_values(values)


def header_of_values(values: Mapping[str, Value]) -> Header:
    """Check what was read of an instance, and put it together.

    Parameters
    ----------
    values
        By keyword, as `node.store.scanner` and `node.store.parser` read them.

    Raises
    ------
    PermanentError
        If one of the four identifiers is absent, empty or too long.
    """
    identifiers = [str(values.get(word, "")) for word in IDENTIFIERS]
    if not all(identifiers) or max(map(len, identifiers)) > MAX_UID_LENGTH:
        raise _refusal(identifiers)
    study, series, instance, sop_class = identifiers
    return Header(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=instance,
        sop_class_uid=sop_class,
        attributes={word: values[word] for word in KEYWORDS if word in values},
        patient=patient_digest(*[_text(values.get(word, "")) for word in PATIENT]),
    )


def _refusal(identifiers: Sequence[str]) -> PermanentError:
    """Say what is wrong with identifiers that are absent or too long."""
    named = list(zip(IDENTIFIERS, identifiers, strict=True))
    if missing := [word for word, value in named if not value]:
        return PermanentError(f"{', '.join(missing)} absent or empty; every instance needs it")
    long = [word for word, value in named if len(value) > MAX_UID_LENGTH]
    return PermanentError(f"{', '.join(long)} longer than {MAX_UID_LENGTH} characters")


def _text(value: Value) -> str:
    """Return one text for an element, its values parted as in the file."""
    return "\\".join(map(str, value)) if isinstance(value, list) else str(value)
