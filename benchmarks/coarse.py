"""A small organ in a large CT: a coarse pass and a fine one there, beside the plain sweep.

    python benchmarks/coarse.py [--size 300 512 512] [--coarse-spacing 4.5] [--rounds 1]

The network is that of `benchmarks/sweep.py`, its output replaced by whether a voxel is brighter
than soft tissue, at the same cost; the organ is a bright ball of 70 mm. Both packages run in one
pool, alternating. The labels found must be the plain sweep's,
or the benchmark ends with an error.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import helper
from rich.console import Console
from rich.table import Table

from benchmarks.sweep import PIXEL_MM, SLICE_MM, WINDOW, chest, unet
from engines.pool import Pool
from engines.types import Volume
from tests.engines import builders

ORGAN_MM = 35.0
BRIGHT = 0.65
"""Above soft tissue and below the organ, after the window -1000 … 1000."""


def network() -> bytes:
    """A U-Net whose output is multiplied by almost nothing, plus a threshold of the image."""
    model = onnx.load_model_from_string(unet((16, 32, 64), 2))
    graph = model.graph
    factor = np.array([0, 1000], np.float32).reshape(1, 2, 1, 1, 1)
    for name, values in (("factor", factor), ("shift", factor * BRIGHT), ("little", [1e-9])):
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values, np.float32), name))
    last = graph.node[-1]
    graph.node.remove(last)
    graph.node.extend(
        [
            helper.make_node("Mul", [last.input[0], "little"], ["nothing"]),
            helper.make_node("Mul", ["image", "factor"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "shift"], ["threshold"]),
            helper.make_node("Add", ["threshold", "nothing"], ["logits"]),
        ]
    )
    content: bytes = model.SerializeToString()
    return content


def with_organ(shape: tuple[int, int, int]) -> Volume:
    """The chest of `benchmarks/sweep.py` with a bright ball in it."""
    volume = chest(shape)
    k, j, i = (
        ((np.arange(size) - size * place) * mm) ** 2
        for size, place, mm in zip(
            shape, (0.4, 0.5, 0.62), (SLICE_MM, PIXEL_MM, PIXEL_MM), strict=True
        )
    )
    ball = k[:, None, None] + j[:, None] + i <= ORGAN_MM**2
    volume.voxels[ball] = 700
    return volume


def write_packages(folder: Path, coarse_spacing: float) -> None:
    """Write the same package without and with a coarse pass."""
    infer = {"mode": "sliding_window", "patch": [WINDOW] * 3, "overlap": 0.25}
    coarse = {"spacing_mm": [coarse_spacing] * 3, "margin_mm": 10.0}
    for name, more in (("plain", {}), ("coarse", {"coarse": coarse})):
        manifest = builders.manifest(
            metadata__name=name,
            preprocess__spacing_mm=[1.5] * 3,
            preprocess__normalize=[{"kind": "window", "a_min": -1000, "a_max": 1000}],
            infer={**infer, **more},
        )
        builders.write_package(folder / name, manifest, network())


def main() -> None:
    """Run both in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=[300, 512, 512])
    parser.add_argument("--coarse-spacing", type=float, default=4.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    volume = with_organ(tuple(options.size))
    times: dict[str, list[tuple[float, float]]] = {"plain": [], "coarse": []}
    results, notes = {}, {}
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as folder:
        write_packages(Path(folder), options.coarse_spacing)
        with Pool(Path(folder), threads=options.threads) as pool:
            pool.preload(times)
            for _ in range(options.rounds):
                for name, taken in times.items():
                    start, cpu = time.perf_counter(), time.process_time()
                    results[name], provenance = pool.run(name, None, [volume])
                    taken.append((time.perf_counter() - start, time.process_time() - cpu))
                    notes[name] = "; ".join(provenance.notes) or "-"
    found = results["coarse"].labelmap > 0
    assert found.any()
    assert np.array_equal(results["coarse"].labelmap[found], results["plain"].labelmap[found])
    missed = int((results["plain"].labelmap > 0).sum() - found.sum())
    size = " × ".join(map(str, options.size))
    columns = ("total s", "of plain", "CPU s", "of plain")
    table = Table("", *columns, title=f"CT {size}, coarse pass at {options.coarse_spacing} mm")
    plain = [median(column) for column in zip(*times["plain"], strict=True)]
    for name, taken in times.items():
        found_s = [median(column) for column in zip(*taken, strict=True)]
        cells = [
            (f"{one:.1f}", f"{one / two:.2f}") for one, two in zip(found_s, plain, strict=True)
        ]
        table.add_row(name, *cells[0], *cells[1])
    console = Console(width=100)
    console.print(table)
    console.print(f"coarse: {notes['coarse']}; voxels of the organ missed: {missed}")


if __name__ == "__main__":
    main()
