"""The part of a header that the index keeps, read from the bytes as they came."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.multival import MultiValue
from pydicom.uid import UID

from node.config.fields import HEADER_FIELDS
from node.errors import PermanentError
from node.store.database import MAX_UID_LENGTH

IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")

KEYWORDS = tuple(word for word in HEADER_FIELDS if word not in IDENTIFIERS)
"""Elements that rules may look at without opening the file again."""

_TAGS = [tag for word in (*IDENTIFIERS, *KEYWORDS) if (tag := tag_for_keyword(word)) is not None]


@dataclass(frozen=True)
class Header:
    """Identifiers and rule elements of one instance.

    Parameters
    ----------
    attributes
        By keyword: str, int, float, or a list of them. Empty elements are absent.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    attributes: Mapping[str, Any]


def file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling_ae_title: str
) -> bytes:
    """Encode preamble and File Meta Information (PS3.10 Section 7.1) for a received data set."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID("2.25.147964205186410929911346430346110284365")
    meta.ImplementationVersionName = "WETREAD"
    meta.SourceApplicationEntityTitle = calling_ae_title
    stream = DicomBytesIO()
    write_file_meta_info(stream, meta, enforce_standard=True)
    return b"\x00" * 128 + b"DICM" + stream.getvalue()


def read_header(file_bytes: BytesIO) -> Header:
    """Read the identifiers and rule elements of a DICOM file, pixels left alone.

    Raises
    ------
    PermanentError
        If the data set cannot be parsed, or lacks one of the four identifiers.
    """
    with warnings.catch_warnings():
        # Field data breaks value rules all the time; what matters here is what can be read.
        warnings.simplefilter("ignore")
        try:
            ds = dcmread(file_bytes, stop_before_pixels=True, specific_tags=_TAGS)
        except Exception as error:  # pydicom raises whatever its parser meets
            raise PermanentError(
                f"the data set cannot be parsed: {type(error).__name__}"
            ) from error
        identifiers = {word: str(_value(ds, word) or "") for word in IDENTIFIERS}
        attributes = {
            word: value for word in KEYWORDS if (value := _value(ds, word)) not in (None, "", [])
        }
    if missing := [word for word, value in identifiers.items() if not value]:
        raise PermanentError(f"{', '.join(missing)} absent or empty; every instance needs it")
    if long := [word for word, value in identifiers.items() if len(value) > MAX_UID_LENGTH]:
        raise PermanentError(f"{', '.join(long)} longer than {MAX_UID_LENGTH} characters")
    return Header(
        study_instance_uid=identifiers["StudyInstanceUID"],
        series_instance_uid=identifiers["SeriesInstanceUID"],
        sop_instance_uid=identifiers["SOPInstanceUID"],
        sop_class_uid=identifiers["SOPClassUID"],
        attributes=attributes,
    )


def _value(ds: Dataset, keyword: str) -> Any:
    """Return an element as JSON can hold it, or None where it cannot be read."""
    try:
        value = ds.get(keyword)
        if isinstance(value, MultiValue | list | tuple):
            return [_plain(item) for item in value]
        return None if value is None else _plain(value)
    except Exception:  # noqa: BLE001 - one broken element must not cost the instance
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("JSON has no such number")
        return float(value)
    if isinstance(value, int):
        return int(value)
    return str(value).strip().rstrip("\x00")
