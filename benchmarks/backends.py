"""The same window of the same network on each backend of this machine.

    python -m benchmarks.backends [--rounds 9] [--threads 2] [--models models]

One call with the window, or the image, that the package's manifest asks for; the backends take
turns, so that a busy moment meets all of them. Medians of wall time and of processor time, the
ratio to ONNX Runtime, the time to load, and how much more memory each holds, measured in a
process of its own. All must give the same numbers to 1e-4, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from engines import registry
from engines.catalogue import packages
from engines.package import Package, load_package
from engines.types import FloatArray

BACKENDS = ("onnx", "openvino")


def window(package: Package) -> FloatArray:
    """Make one batch of noise as large as the manifest's window or image."""
    infer, resize = package.manifest.infer, package.manifest.preprocess.resize
    space = infer.patch or (resize.size if resize else None)
    if space is None:
        raise SystemExit(f"{package.name} names neither a window nor an image size")
    channels = len(package.manifest.model.inputs[0].channels)
    return np.random.default_rng(0).standard_normal((1, channels, *space), dtype=np.float32)


def measure(package: Package, rounds: int, threads: int) -> list[tuple[str, float, float]]:
    """Run the backends in turn: name, median wall seconds, median processor seconds of a call."""
    given = package.manifest.model.inputs[0].name
    batch = window(package)
    sessions = {
        name: registry.backend(name, threads=threads).load(package, device="cpu")
        for name in BACKENDS
    }
    answers = [session.run({given: batch}) for session in sessions.values()]
    for answer in answers[1:]:
        for name, values in answers[0].items():
            np.testing.assert_allclose(answer[name], values, rtol=1e-4, atol=1e-4)
    wall: dict[str, list[float]] = {name: [] for name in sessions}
    busy: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(rounds):
        turn = list(sessions) if number % 2 == 0 else list(reversed(sessions))
        for name in turn:
            start, used = time.perf_counter(), time.process_time()
            sessions[name].run({given: batch})
            wall[name].append(time.perf_counter() - start)
            busy[name].append(time.process_time() - used)
    return [(name, median(wall[name]), median(busy[name])) for name in sessions]


def hold(root: Path, backend: str, threads: int) -> dict[str, float]:
    """Load and run once in this process: seconds to load, MB that the process grew by."""
    package = load_package(root)
    batch = window(package)
    found = registry.backend(backend, threads=threads)
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    session = found.load(package, device="cpu")
    seconds = time.perf_counter() - start
    session.run({package.manifest.model.inputs[0].name: batch})
    grown = psutil.Process().memory_info().rss - before
    return {"load_s": seconds, "held_mb": grown / 1e6}


def held_elsewhere(root: Path, backend: str, threads: int) -> dict[str, float]:
    """Do `hold` in a new process, in which nothing is loaded yet."""
    command = [sys.executable, "-m", "benchmarks.backends", "--hold", root, backend]
    said = subprocess.run(
        [*map(str, command), "--threads", str(threads)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(said.stdout)
    return found


def main() -> None:
    """Print one table over all packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--hold", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.hold:
        print(json.dumps(hold(Path(asked.hold[0]), asked.hold[1], asked.threads)))
        return
    table = Table(title=f"one call, {asked.threads} threads, median of {asked.rounds}")
    for column in ("model", "backend", "ms", "processor ms", "× onnx", "load s", "held MB"):
        table.add_column(column, justify="left" if column in ("model", "backend") else "right")
    for package in packages(asked.models).packages:
        rows = measure(package, asked.rounds, asked.threads)
        for name, wall, busy in rows:
            held = held_elsewhere(package.root, name, asked.threads)
            table.add_row(
                *(package.name, name, f"{wall * 1e3:.1f}", f"{busy * 1e3:.1f}"),
                *(f"{wall / rows[0][1]:.2f}", f"{held['load_s']:.2f}", f"{held['held_mb']:.0f}"),
            )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
