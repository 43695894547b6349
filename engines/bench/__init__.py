"""How long each stage of a model takes here, and how much of the machine it uses."""

from engines.bench.cost import floating_point_operations, peak_gflops
from engines.bench.measure import ON_DEVICE, measure
from engines.bench.stages import Rounds, Timing

__all__ = [
    "ON_DEVICE",
    "Rounds",
    "Timing",
    "floating_point_operations",
    "measure",
    "peak_gflops",
]
