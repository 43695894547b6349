"""The compiled kernels of a device, loaded when the first one is launched.

A device without them still has memory, streams and copies: a network can run there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engines.device.build import read_kernels
from engines.errors import BackendUnavailable, NotOnDevice


class Functions:
    """Kernels by name.

    Parameters
    ----------
    load
        Makes a module of a fatbin; raises BackendUnavailable where it does not run here.
    find
        Finds a function of a module by name; raises KeyError where there is none.
    fatbin
        By default that of the project's own build.
    """

    def __init__(
        self,
        load: Callable[[bytes], Any],
        find: Callable[[Any, str], Any],
        fatbin: bytes | None = None,
    ) -> None:
        self._load, self._find, self._fatbin = load, find, fatbin
        self._found: dict[str, Any] = {}
        self.module: Any = None

    def __getitem__(self, name: str) -> Any:
        """Find a kernel.

        Raises
        ------
        NotOnDevice
            If the kernels are not compiled, or not for this device.
        KeyError
            If there is no such kernel.
        """
        if name not in self._found:
            if self.module is None:
                self.module = self._loaded()
            self._found[name] = self._find(self.module, name)
        return self._found[name]

    def _loaded(self) -> Any:
        try:
            return self._load(read_kernels() if self._fatbin is None else self._fatbin)
        except BackendUnavailable as error:
            raise NotOnDevice(str(error)) from error


__all__ = ["Functions"]
