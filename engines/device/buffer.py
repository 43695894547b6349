"""Memory of a device, however it was come by."""

from __future__ import annotations

from collections.abc import Callable


class OwnedBuffer:
    """Memory that is given back once; see `engines.device.api.Buffer`.

    Parameters
    ----------
    pointer
        Address on the device.
    nbytes
        Size as asked for, bytes.
    release
        Gives the memory back, after all that is queued; it holds what must live until then.
    """

    def __init__(self, pointer: int, nbytes: int, release: Callable[[], None]) -> None:
        self._pointer, self._nbytes = pointer, nbytes
        self._release: Callable[[], None] | None = release

    @property
    def pointer(self) -> int:
        """Address on the device."""
        return self._pointer

    @property
    def nbytes(self) -> int:
        """Size as asked for, bytes."""
        return self._nbytes

    def free(self) -> None:
        """Give the memory back; a second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()


__all__ = ["OwnedBuffer"]
