"""A sliding-window segmentation of a CT: this project's sweep beside MONAI's.

    python benchmarks/sweep.py [--size 300 512 512] [--spacing 1.5] [--overlap 0.25] [--rounds 3]

The same ONNX file, ONNX Runtime, windows, overlap and blending for all; the network is a small
3D U-Net with random weights. *No crop* runs the same windows as MONAI, *crop* only those of the
body (``preprocess.crop``). Every run is a process of its own, so that its peak memory is its
own; the rounds alternate. MONAI's row needs torch and monai; the labels are brought back to the
grid of the CT by torch there. *Overhead* is everything but the network, resampling to the
network's spacing included, as a share of the network's; in processor time, which other work
on the machine disturbs least. *Peak* is the most memory that the whole process ever had:
libraries, the CT itself, as the node's reader gives it, the model with what it needs for one
window, and the run. *Extra* is the peak beyond what there was when the run began.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table

from engines.backends.onnx import OnnxBackend
from engines.package import Package, load_package
from engines.tasks.image import prepare
from engines.tasks.segment import SegmentTask
from engines.types import FloatArray, Grid, LabelArray, Volume
from engines.window import sweep
from tests.engines import builders

WAYS = ("no crop", "crop", "MONAI")
WINDOW = 128
PIXEL_MM, SLICE_MM = 0.75, 1.25
COLUMNS = (
    "total s",
    "network s",
    "CPU s",
    "network CPU s",
    "overhead %",
    "windows",
    "extra MiB",
    "peak MiB",
)


def unet(widths: tuple[int, int, int], classes: int) -> bytes:
    """A 3D U-Net with random weights: halved twice, doubled twice, two skips."""
    rng, weights, nodes = np.random.default_rng(0), [], []

    def add(op: str, given: list[str], **attributes: Any) -> str:
        name = f"t{len(nodes)}"
        nodes.append(helper.make_node(op, given, [name], **attributes))
        return name

    def conv(given: str, have: int, want: int, size: int = 3, stride: int = 1) -> str:
        name = f"w{len(weights)}"
        scale = np.sqrt(2 / (have * size**3))
        values = rng.normal(0, scale, (want, have, *[size] * 3)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(values, name))
        return add("Conv", [given, name], strides=[stride] * 3, pads=[size // 2] * 6)

    def up(given: str) -> str:
        return add("Resize", [given, "", "scales"], mode="nearest")

    weights.append(onnx.numpy_helper.from_array(np.array([1, 1, 2, 2, 2], np.float32), "scales"))
    one, two, three = widths
    first = add("Relu", [conv("image", 1, one)])
    second = add("Relu", [conv(first, one, two, stride=2)])
    third = add("Relu", [conv(second, two, three, stride=2)])
    third = add("Relu", [conv(third, three, three)])
    joined = add("Concat", [up(third), second], axis=1)
    joined = add("Relu", [conv(joined, three + two, two)])
    joined = add("Concat", [up(joined), first], axis=1)
    joined = add("Relu", [conv(joined, two + one, one)])
    nodes.append(helper.make_node("Identity", [conv(joined, one, classes, 1)], ["logits"]))
    shapes = [["n", channels, "k", "j", "i"] for channels in (1, classes)]
    given, wanted = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("image", "logits"), shapes, strict=True)
    )
    graph = helper.make_graph(nodes, "unet", [given], [wanted], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def write_package(folder: Path, options: argparse.Namespace, way: str) -> Path:
    """Write the package of one way."""
    classes = options.classes
    manifest = builders.manifest(
        model__outputs=[{"name": "logits", "kind": "logits", "channels": classes}],
        preprocess={
            "spacing_mm": [options.spacing] * 3,
            "normalize": [{"kind": "window", "a_min": -1000, "a_max": 1000}],
            "crop": {"above": -500, "margin_mm": 5} if way == "crop" else None,
        },
        infer={
            "mode": "sliding_window",
            "patch": [WINDOW] * 3,
            "overlap": options.overlap,
            "blend": "gaussian",
        },
    )
    return builders.write_package(folder, manifest, unet((16, 32, 64), classes))


def chest(shape: tuple[int, int, int]) -> Volume:
    """A body of water, 340 mm wide and 250 mm deep, with two lungs, in air; noise everywhere."""
    slices, rows, columns = shape
    y, x = ((np.arange(size)[:, np.newaxis] - size / 2) * PIXEL_MM for size in (rows, columns))
    x = x.T
    plane = np.where((y / 125) ** 2 + (x / 170) ** 2 <= 1, 0.0, -1000.0)
    for side in (-75, 75):
        plane[(y / 85) ** 2 + ((x - side) / 60) ** 2 <= 1] = -850
    rng = np.random.default_rng(0)
    voxels = np.empty(shape, np.int16)
    for k in range(slices):
        voxels[k] = plane + rng.normal(0, 20, plane.shape)
    affine = np.diag([SLICE_MM, PIXEL_MM, PIXEL_MM, 1.0])[[2, 1, 0, 3]]
    return Volume(voxels, Grid(shape, affine), "CT", "[hnsf'U]")


class Network:
    """A loaded model with a stopwatch."""

    def __init__(self, package: Package, threads: int) -> None:
        self.session = OnnxBackend(threads=threads).load(package, device="cpu")
        self.seconds, self.cpu_seconds, self.windows = 0.0, 0.0, 0

    def __call__(self, batch: FloatArray) -> FloatArray:
        """Run one batch."""
        start, cpu = time.perf_counter(), time.process_time()
        output = self.session.run({"image": batch})["logits"]
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu
        self.windows += len(batch)
        return output


def ours(package: Package, volume: Volume, network: Network) -> LabelArray:
    """Segment as the node does."""
    task = SegmentTask()
    prepared = task.prepare(package, [volume])
    slabs = sweep(network, prepared.tensor, prepared.window)
    return task.finish(package, slabs, prepared, [volume]).labelmap


def with_monai(package: Package, volume: Volume, network: Network) -> LabelArray:
    """Segment with MONAI's inferer; probabilities brought back as MONAI's ``Invertd`` does."""
    import torch
    from monai.inferers import SlidingWindowInferer

    prepared = prepare(package, [volume])
    plan = prepared.window
    inferer = SlidingWindowInferer(plan.patch, plan.batch, plan.overlap, mode=plan.blend)
    with torch.no_grad():
        output = inferer(
            torch.from_numpy(prepared.tensor)[None],
            lambda windows: torch.from_numpy(network(windows.numpy())),
        )
        output = torch.softmax(output, dim=1)
        output = torch.nn.functional.interpolate(
            output, size=volume.grid.shape, mode="trilinear", align_corners=False
        )
        labels: LabelArray = output.argmax(dim=1)[0].to(torch.uint8).numpy()
    return labels


def peak_mib() -> float:
    """Most memory this process ever had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_run(way: str, options: argparse.Namespace) -> dict[str, float]:
    """Run once, in this process."""
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as folder:
        package = load_package(write_package(Path(folder) / "unet", options, way))
        network = Network(package, options.threads)
        if way == "MONAI":
            import monai.inferers  # noqa: F401 - its memory is not the run's
            import torch

            torch.set_num_threads(options.threads)
        volume = chest(tuple(options.size))
        network.session.run({"image": np.zeros((1, 1, *[WINDOW] * 3), np.float32)})
        before, start, cpu = peak_mib(), time.perf_counter(), time.process_time()
        labels = (with_monai if way == "MONAI" else ours)(package, volume, network)
        total, cpu = time.perf_counter() - start, time.process_time() - cpu
        assert labels.shape == volume.grid.shape
        return {
            "total s": total,
            "network s": network.seconds,
            "CPU s": cpu,
            "network CPU s": network.cpu_seconds,
            "overhead %": 100 * (cpu - network.cpu_seconds) / network.cpu_seconds,
            "windows": network.windows,
            "extra MiB": peak_mib() - before,
            "peak MiB": peak_mib(),
        }


def main() -> None:
    """Run all ways in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=[300, 512, 512])
    parser.add_argument("--spacing", type=float, default=1.5)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(one_run(options.way, options)))
        return
    ways = [way for way in WAYS if way != "MONAI" or find_spec("monai")]
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs[way].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {
        way: {name: median(run[name] for run in found) for name in COLUMNS}
        for way, found in runs.items()
    }
    show(medians, options)


def show(medians: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    """Print the medians, and the ratios to MONAI's."""
    size = " × ".join(map(str, options.size))
    title = f"CT {size} at {options.spacing} mm, overlap {options.overlap}, {options.rounds} rounds"
    table = Table("", *COLUMNS, title=title)
    for way, found in medians.items():
        table.add_row(way, *(f"{found[name]:.1f}" for name in COLUMNS))
    console = Console(width=100)
    console.print(table)
    if "MONAI" not in medians:
        console.print("MONAI is not installed here: no comparison.")
        return
    other = medians["MONAI"]
    for way in ("no crop", "crop"):
        found = medians[way]
        time_, peak, extra = (
            found[key] / other[key] for key in ("total s", "peak MiB", "extra MiB")
        )
        console.print(
            f"{way}: {time_:.2f} of MONAI's time, {peak:.2f} of its peak memory, "
            f"{extra:.2f} of its extra memory"
        )


if __name__ == "__main__":
    main()
