"""From the source's voxels to the network's and exactly back."""

from engines.grid.orient import IDENTITY, Orientation, towards_lps
from engines.grid.sampling import Sampling, fitted, same, spaced
from engines.grid.stack import Stack

__all__ = [
    "IDENTITY",
    "Orientation",
    "Sampling",
    "Stack",
    "fitted",
    "same",
    "spaced",
    "towards_lps",
]
