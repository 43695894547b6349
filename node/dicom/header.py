"""Numbers and texts from headers as they come from the field, and what bounds their reading.

Everything here is lenient with values and strict with structure: a `DS` of 20 characters
passes, a file that ends in the middle of a header does not.
"""

from __future__ import annotations

import math
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.errors import NodeError, PermanentError

MAX_VOXELS = 2**30
"""Most voxels of one case: 4 GiB as float32. More is refused before anything is decoded."""

MAX_FILE_BYTES = 2 * 2**30
"""Most bytes a deflated data set may inflate to; one byte of it can hold 1032."""

_MAX_DEFLATE_RATIO = 1032  # of zlib, https://zlib.net/zlib_tech.html
_PYDICOM_SETTINGS = threading.RLock()


@contextmanager
def lenient() -> Iterator[None]:
    """Let values pass that break the rules of their VR, and say nothing about it.

    pydicom keeps the validation mode, and Python the warning filters, once per process.
    Both are put back on leaving; meanwhile a lock keeps other threads that read out.
    Usable as a decorator.
    """
    with _PYDICOM_SETTINGS, config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def permanent(failed: str) -> Iterator[None]:
    """Translate what pydicom and its codecs raise into one `PermanentError`.

    Parameters
    ----------
    failed
        What failed, by UIDs and keywords: the start of the message. The text of the
        original error may hold values from the header, so it stays in ``__cause__``.
    """
    try:
        yield
    except (NodeError, OSError):
        raise
    except Exception as error:  # decoders raise anything on damaged input
        raise PermanentError(f"{failed} ({type(error).__name__})") from error


def check_inflated_size(path: Path, limit: int = MAX_FILE_BYTES) -> None:
    """Refuse a deflated file that would inflate to more than `limit` bytes.

    Only files that could are inflated for it, and never into memory.
    """
    if path.stat().st_size * _MAX_DEFLATE_RATIO <= limit:
        return
    with permanent(f"{path.name} cannot be read as a DICOM file (PS3.10)"):
        meta = read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        # Preamble, prefix, the group length element itself, and the rest of group 0002.
        start = 128 + 4 + 12 + meta.FileMetaInformationGroupLength
        inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
        with path.open("rb") as file:
            file.seek(start)
            pending = file.read(2**16)
            while pending and not inflater.eof:
                inflated += len(inflater.decompress(pending, 2**24))
                if inflated > limit:
                    raise PermanentError(
                        f"{path.name} inflates to more than {limit} bytes: refused"
                    )
                pending = inflater.unconsumed_tail or file.read(2**16)


def sop_instance_uid(ds: Dataset) -> str:
    """SOPInstanceUID for a message."""
    return str(ds.get("SOPInstanceUID") or "without SOPInstanceUID")


def text(ds: Dataset, keyword: str) -> str:
    """Value of a single-valued attribute as text; empty where it is absent or empty."""
    value = ds.get(keyword)
    return "" if value is None else str(value)


def numbers(ds: Dataset, keyword: str, count: int | None = None) -> npt.NDArray[np.float64]:
    """Values of a numeric attribute.

    Returns
    -------
    float64, shape (n,)
        Empty where the attribute is absent, empty, not finite or not a number, or where
        it does not have `count` values.
    """
    try:
        value = ds.get(keyword)
        if value is None or isinstance(value, str | bytes | Dataset):
            return np.empty(0)
        found = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        return np.empty(0)
    if found.ndim != 1 or not np.isfinite(found).all() or count not in (None, found.size):
        return np.empty(0)
    return found


def number(ds: Dataset, keyword: str) -> float | None:
    """First value of a numeric attribute, or None (see `numbers`)."""
    found = numbers(ds, keyword)
    return float(found[0]) if found.size else None


def check_readable(headers: Sequence[Dataset]) -> None:
    """Check, before decoding, that images are of a kind and a size that can be read.

    Raises
    ------
    PermanentError
        If one is not a monochrome image (PS3.3 Section C.7.6.3.1.2), or if together they
        would have more than ``MAX_VOXELS`` voxels.
    """
    voxels = 0
    for ds in headers:
        found = text(ds, "PhotometricInterpretation")
        samples = text(ds, "SamplesPerPixel")
        if found not in ("MONOCHROME1", "MONOCHROME2") or samples not in ("1", ""):
            raise PermanentError(
                f"instance {sop_instance_uid(ds)}: PhotometricInterpretation is "
                f"{found or 'absent'} with SamplesPerPixel {samples or 'absent'}; "
                "expected MONOCHROME1 or MONOCHROME2 with 1"
            )
        frames = 1.0 if text(ds, "NumberOfFrames") == "" else number(ds, "NumberOfFrames")
        size = [number(ds, "Rows") or 0, number(ds, "Columns") or 0, frames or 0]
        if min(size) < 1:
            raise PermanentError(
                f"instance {sop_instance_uid(ds)}: Rows, Columns and NumberOfFrames are "
                f"{size[0]:g}, {size[1]:g} and {size[2]:g}; expected positive numbers"
            )
        voxels += math.prod(int(count) for count in size)
    if voxels > MAX_VOXELS:
        raise PermanentError(
            f"Rows x Columns x NumberOfFrames over {len(headers)} instances is {voxels}; "
            f"at most {MAX_VOXELS} are read"
        )
