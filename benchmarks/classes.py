"""Many classes of a large CT in little memory: peak of a run that may not have more.

    python benchmarks/classes.py [--size 600 512 512] [--classes 32] [--limit-gib 8]

The address space of the process is limited (``RLIMIT_AS``), so that a run that needed more
would end with an error; libraries, threads and the CT itself are part of it. The whole output
would take classes × voxels × 4 bytes: 18.8 GiB for 32 classes on the grid of the CT.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.sweep import Network, chest, ours, peak_mib, write_package
from engines.package import load_package


def address_space_gib() -> float:
    """Most address space this process ever had, GiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmPeak:"))
    return int(peak.split()[1]) / (1 << 20)


def main() -> None:
    """Run once and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=[600, 512, 512])
    parser.add_argument("--spacing", type=float, default=1.5)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--classes", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit-gib", type=float, default=8.0)
    options = parser.parse_args()
    limit = int(options.limit_gib * (1 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as folder:
        package = load_package(write_package(Path(folder) / "unet", options, "no crop"))
        volume = chest((options.size[0], options.size[1], options.size[2]))
        network = Network(package, options.threads)
        labels = ours(package, volume, network)
    assert labels.shape == volume.grid.shape
    size = " × ".join(map(str, options.size))
    print(
        f"{options.classes} classes, CT {size}, {network.windows} windows: "
        f"{time.perf_counter() - start:.0f} s, address space {address_space_gib():.1f} GiB of "
        f"{options.limit_gib:g}, resident {peak_mib() / 1024:.1f} GiB"
    )


if __name__ == "__main__":
    main()
