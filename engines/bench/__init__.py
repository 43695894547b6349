"""How long each stage of a model takes here, and how much of the machine it uses."""

from engines.bench.cost import floating_point_operations, peak_gflops
from engines.bench.measure import measure
from engines.bench.stages import COARSE, ON_DEVICE, STAGES, Rounds, Timing

__all__ = [
    "COARSE",
    "ON_DEVICE",
    "STAGES",
    "Rounds",
    "Timing",
    "floating_point_operations",
    "measure",
    "peak_gflops",
]
