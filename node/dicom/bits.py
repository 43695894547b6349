"""Containers → stored values and padding, by the header's bits (PS3.5 Section 8.1.1)."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from engines.types import Array, BoolArray
from node.dicom.header import number, numbers, sop_instance_uid
from node.errors import PermanentError


def stored_values(container: Array, header: Dataset) -> Array:
    """Take the stored value out of its container (PS3.5 Section 8.1.1).

    The other bits hold anything: old overlays, or copies of the sign.
    """
    allocated = header.BitsAllocated
    stored = int(number(header, "BitsStored") or allocated)
    high = number(header, "HighBit")
    top = stored - 1 if high is None else int(high)
    if allocated == 1 or stored == allocated:
        return container
    if not stored - 1 <= top < allocated:
        raise PermanentError(
            f"instance {sop_instance_uid(header)}: HighBit is {top} with BitsStored {stored} "
            f"and BitsAllocated {allocated}; expected {stored - 1} … {allocated - 1}"
        )
    # A right shift of a signed container repeats the sign bit.
    shifted: Array = (container << (allocated - 1 - top)) >> (allocated - stored)
    return shifted


def padding_mask(container: Array, stored: Array, header: Dataset) -> BoolArray | None:
    """Where PixelPaddingValue … PixelPaddingRangeLimit says that there is no image.

    The sign of both is that of PixelRepresentation, whatever VR they were written with
    (PS3.3 Section C.7.5.1.1.2). Some writers use a padding value that does not fit into
    BitsStored, so that the container as it was written is looked at as well.

    Parameters
    ----------
    container, stored
        Same shape: before and after the unused bits are cleared.

    Returns
    -------
    bool, same shape
        None where the header has no padding value.
    """
    if stored.dtype.kind == "f":
        prefix = "FloatPixelPadding" if stored.dtype.itemsize == 4 else "DoubleFloatPixelPadding"
    else:
        prefix = "PixelPadding"
    found = [*numbers(header, f"{prefix}Value", 1), *numbers(header, f"{prefix}RangeLimit", 1)]
    if not numbers(header, f"{prefix}Value", 1).size:
        return None
    if stored.dtype.kind == "f":
        return np.asarray((stored >= min(found)) & (stored <= max(found)))
    signed = stored.dtype.kind == "i"
    limits = [_with_sign(int(value), signed) for value in found]
    low, high = min(limits), max(limits)
    mask: BoolArray = np.zeros(stored.shape, np.bool_)
    for values in (stored,) if container is stored else (stored, container):
        if low == high:
            mask |= values == low
        else:
            mask |= (values >= low) & (values <= high)
    return mask


def _with_sign(value: int, signed: bool) -> int:
    """Read the 16 bits of `value` with or without a sign."""
    bits = value & 0xFFFF
    return bits - 0x10000 if signed and bits >= 0x8000 else bits
