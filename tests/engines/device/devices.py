"""The implementations of the device's interface, and why one cannot run here."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from engines.device.api import DeviceApi
from engines.device.cuda_bindings import CudaBindingsApi
from engines.device.host import HostApi
from engines.device.pycuda import PycudaApi
from engines.errors import BackendUnavailable

STUB = "WETREAD_TEST_STUB_DRIVER"
"""Set where libcuda.so.1 is that of driver.cpp, which brings kernels of its own."""

KERNELS = b"none" if STUB in os.environ else None

OPENERS: dict[str, Callable[[], DeviceApi]] = {
    "host": HostApi,
    "pycuda": lambda: PycudaApi(kernels=KERNELS),
    "cuda-bindings": lambda: CudaBindingsApi(kernels=KERNELS),
}


def opened(name: str) -> DeviceApi:
    """Open an implementation; those of GPUs are skipped where there is none, in CI too."""
    try:
        return OPENERS[name]()
    except BackendUnavailable as reason:
        if name == "host":
            raise
        pytest.skip(f"not run on a GPU: {reason}")
