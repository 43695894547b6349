"""What the backend stands on: a TensorRT, a driver, and one of two ways to a GPU's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from engines.backends.tensorrt import driver, flavour
from engines.backends.tensorrt.driver import Gpu
from engines.backends.tensorrt.flavour import INSTALL, Flavour
from engines.device.api import DeviceApi
from engines.device.cuda_bindings import CudaBindingsApi
from engines.device.pycuda import PycudaApi
from engines.errors import BackendUnavailable


@dataclass(frozen=True)
class Machine:
    """What the backend stands on; each part is asked when it is needed and not before.

    Parameters
    ----------
    flavour
        Gives the TensorRT there is.
    gpu
        Describes the GPU of an index.
    device
        Opens the GPU of an index.
    missing
        Says why no GPU could be opened, whatever its index, or None.
    """

    flavour: Callable[[], Flavour]
    gpu: Callable[[int], Gpu]
    device: Callable[[int], DeviceApi]
    missing: Callable[[], str | None]


def open_device(index: int) -> DeviceApi:
    """Open a GPU through pycuda, else through cuda-bindings.

    Raises
    ------
    BackendUnavailable
        If neither can; the message has both reasons.
    """
    reasons = []
    for api in (PycudaApi, CudaBindingsApi):
        try:
            return api(index)
        except BackendUnavailable as error:
            reasons.append(str(error))
    raise BackendUnavailable("; ".join(reasons))


def no_way_in() -> str | None:
    """Say that neither pycuda nor cuda-bindings is installed, or None."""
    # pycuda's driver module alone would need the driver.
    if find_spec("pycuda") or find_spec("cuda"):
        return None
    return f"neither pycuda nor cuda-bindings is installed; install one with {INSTALL}"


INSTALLED = Machine(flavour.flavour, driver.gpu, open_device, no_way_in)
"""What is installed here."""


__all__ = ["INSTALLED", "Machine", "no_way_in", "open_device"]
