"""Which TensorRT is here: NVIDIA's for data centres, or the one for RTX cards, or none."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass, field
from typing import Any

from engines.errors import BackendUnavailable

FLAVOURS = ("tensorrt", "tensorrt_rtx")
"""Python modules with one API, in order of preference."""

INSTALL = "pip install 'wetread[tensorrt]'"


@dataclass(frozen=True)
class Flavour:
    """A TensorRT that can be imported.

    Parameters
    ----------
    name
        ``"tensorrt"`` or ``"tensorrt_rtx"``: their plans do not fit each other.
    version
        Its version; a plan fits exactly this one.
    api
        The Python module, or what stands in its place with the same attributes.
    """

    name: str
    version: str
    api: Any = field(repr=False, compare=False)


@functools.cache
def flavour() -> Flavour:
    """Import the first TensorRT there is; later calls give the same one.

    Raises
    ------
    BackendUnavailable
        If there is none; the message says what each import lacked.
    """
    lacking = []
    for name in FLAVOURS:
        try:
            api = importlib.import_module(name)
            return Flavour(name, str(api.__version__), api)
        # The bindings load their library by name: OSError or RuntimeError where it is missing.
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            lacking.append(f"{name}: {str(error).splitlines()[0] if str(error) else 'broken'}")
    raise BackendUnavailable(
        f"TensorRT is not installed ({'; '.join(lacking)}); install it with {INSTALL}"
    )


def missing() -> str | None:
    """Say why no TensorRT can be imported here, in one sentence, or None."""
    try:
        flavour()
    except BackendUnavailable as error:
        return str(error)
    return None


__all__ = ["FLAVOURS", "INSTALL", "Flavour", "flavour", "missing"]
