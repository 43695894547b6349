"""CUDA graphs: the network's many launches captured once, and queued as one from then on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from engines.device.api import DeviceApi, Stream
from engines.errors import NotOnDevice

KEPT = 4
"""Graphs of one session: two input buffers take turns, with a full and a last, smaller batch."""


class Graphs:
    """Graphs of one execution context, each for one shape at certain addresses.

    Not yet run on a GPU; docs/reference/performance.md.

    Parameters
    ----------
    device
        Captures, if it can.
    flavour
        Name of the TensorRT.
    wanted
        Whether the package asks for graphs.

    Attributes
    ----------
    notes
        Why there are none although they are wanted; for the result's provenance.
    """

    def __init__(self, device: DeviceApi, flavour: str, *, wanted: bool) -> None:
        self.notes: tuple[str, ...] = ()
        self._capture: Callable[..., Any] | None = None
        self._seen: OrderedDict[Hashable, Any] = OrderedDict()
        if not wanted:
            return
        self._capture = getattr(device, "capture", None)
        if self._capture is None:
            self._give_up("pycuda has none; cuda-bindings has, where pycuda is not installed")
        elif flavour != "tensorrt":
            self._give_up(f"{flavour} compiles its kernels while it runs")

    def queue(self, key: Hashable, enqueue: Callable[[], None], stream: Stream) -> None:
        """Queue the network: as it is the first time, then captured, then as a graph.

        The first time it may allocate, which a capture does not allow.

        Parameters
        ----------
        key
            Shape and addresses; other ones need another graph.
        enqueue
            Queues the network on `stream`.
        stream
            Where to queue.
        """
        if self._capture is None:
            enqueue()
            return
        if key not in self._seen:
            self._seen[key] = None
            if len(self._seen) > KEPT:
                self._drop(self._seen.popitem(last=False)[1])
            enqueue()
            return
        self._seen.move_to_end(key)
        try:
            self._seen[key] = self._seen[key] or self._capture(enqueue, stream)
        except NotOnDevice as error:
            self._give_up(str(error))
            enqueue()
            return
        self._seen[key].launch(stream)

    def clear(self) -> None:
        """Forget all: the shape or the context's memory is another one."""
        while self._seen:
            self._drop(self._seen.popitem()[1])

    def _give_up(self, why: str) -> None:
        self.clear()
        self._capture = None
        self.notes = (f"no CUDA graph: {why}",)

    @staticmethod
    def _drop(graph: Any) -> None:
        if graph is not None:
            graph.close()


__all__ = ["KEPT", "Graphs"]
