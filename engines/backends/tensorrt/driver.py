"""Asking NVIDIA's driver what GPUs there are, before any library does.

Some of TensorRT's libraries end the process where there is no driver; this one question,
put to the driver itself, comes first. It opens no context and takes no GPU memory.
Names and numbers are those of the CUDA Driver API reference.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from engines.errors import BackendUnavailable

LIBRARY = "libcuda.so.1"
_SUCCESS, _NO_DEVICE = 0, 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…


@dataclass(frozen=True)
class Gpu:
    """A GPU, as far as a plan depends on it.

    Parameters
    ----------
    name
        Such as ``"NVIDIA H200"``.
    capability
        Compute capability, such as ``"9.0"``.
    driver
        Newest CUDA version the driver serves, such as ``"13.0"``.
    memory_bytes
        All its memory.
    """

    name: str
    capability: str
    driver: str
    memory_bytes: int


def missing() -> str | None:
    """Say why there is no GPU to use here, in one sentence, or None."""
    try:
        gpu(0)
    except BackendUnavailable as error:
        return str(error)
    return None


def gpu(index: int) -> Gpu:
    """Describe one GPU.

    Parameters
    ----------
    index
        From 0, as the driver counts: ``CUDA_VISIBLE_DEVICES`` holds.

    Raises
    ------
    BackendUnavailable
        If there is no driver, or it does not answer, or it has no such GPU.
    """
    library = _library()
    count = ctypes.c_int()
    _ask(library, "cuDeviceGetCount", ctypes.byref(count))
    if not 0 <= index < count.value:
        raise BackendUnavailable(
            f"there is no GPU cuda:{index}; the driver shows {count.value} "
            "(CUDA_VISIBLE_DEVICES can hide some)"
        )
    device, driver, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    _ask(library, "cuDeviceGet", ctypes.byref(device), index)
    _ask(library, "cuDeviceGetName", name, len(name), device)
    _ask(library, "cuDeviceGetAttribute", ctypes.byref(major), _CAPABILITY_MAJOR, device)
    _ask(library, "cuDeviceGetAttribute", ctypes.byref(minor), _CAPABILITY_MINOR, device)
    _ask(library, "cuDeviceTotalMem_v2", ctypes.byref(size), device)
    _ask(library, "cuDriverGetVersion", ctypes.byref(driver))
    version = f"{driver.value // 1000}.{driver.value % 1000 // 10}"
    text = name.value.decode(errors="replace")
    return Gpu(text, f"{major.value}.{minor.value}", version, size.value)


def _library() -> ctypes.CDLL:
    """Load the driver and wake it up."""
    try:
        library = ctypes.CDLL(LIBRARY)
        status = library.cuInit(0)
    except (OSError, AttributeError) as error:
        raise BackendUnavailable(
            f"there is no NVIDIA driver ({LIBRARY} cannot be loaded); install the driver of the GPU"
        ) from error
    if status == _NO_DEVICE:
        raise BackendUnavailable(
            "the NVIDIA driver shows no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    if status != _SUCCESS:
        raise BackendUnavailable(
            f"the NVIDIA driver does not start (cuInit gives error {status}); check nvidia-smi"
        )
    return library


def _ask(library: ctypes.CDLL, function: str, *arguments: Any) -> None:
    try:
        status = getattr(library, function)(*arguments)
    except AttributeError as error:
        raise BackendUnavailable(
            f"the NVIDIA driver has no {function}; it is too old, update it"
        ) from error
    if status != _SUCCESS:
        raise BackendUnavailable(
            f"the NVIDIA driver refuses {function} (error {status}); check nvidia-smi"
        )


__all__ = ["LIBRARY", "Gpu", "gpu", "missing"]
