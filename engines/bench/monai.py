"""The same network swept by MONAI's `SlidingWindowInferer`, to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from engines.api import Slab, WindowPlan
from engines.bench.on_host import Stopwatch
from engines.types import FloatArray


def is_installed() -> bool:
    """Whether torch and monai are there; the node needs neither."""
    return find_spec("torch") is not None and find_spec("monai") is not None


class MonaiStopwatch(Stopwatch):
    """A stopwatch whose sweep is MONAI's, with the same windows, overlap and blending."""

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> Iterator[Slab]:
        """Run a whole volume (C, k, j, i) at once: one slab."""
        import torch
        from monai.inferers import SlidingWindowInferer

        def network(windows: Any) -> Any:
            outputs = self.run({self._given: windows.numpy()})
            return torch.from_numpy(outputs[self._wanted])

        inferer = SlidingWindowInferer(
            roi_size=plan.patch,
            sw_batch_size=plan.batch,
            overlap=plan.overlap,
            mode=plan.blend,
            cval=float(volume.min()),
        )
        with torch.no_grad():
            swept = inferer(torch.from_numpy(np.ascontiguousarray(volume)[np.newaxis]), network)
        yield Slab(0, swept[0].numpy())


__all__ = ["MonaiStopwatch", "is_installed"]
