"""How long each stage of a model takes here, and how much of the machine it uses."""

from engines.bench.cost import floating_point_operations, peak_gflops
from engines.bench.stages import Rounds, Timing, measure

__all__ = ["Rounds", "Timing", "floating_point_operations", "measure", "peak_gflops"]
