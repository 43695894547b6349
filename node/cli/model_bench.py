"""``wetread models bench``: how long each stage of a model takes on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engines.bench import Rounds, floating_point_operations, measure, peak_gflops
from engines.bench.monai import MonaiStopwatch, is_installed
from engines.bench.phantom import phantom
from engines.catalogue import packages
from engines.errors import BackendUnavailable, EngineError
from engines.package import Package
from engines.registry import availability
from engines.serving.coarse import coarse_pass
from engines.types import Volume
from node.cli.options import models_options, read_config
from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.errors import NodeError

ELSEWHERE = ("kserve",)
"""Backends whose network runs in another process: its processor time is not seen here."""


@click.command()
@click.argument("name")
@models_options
@click.option(
    "--backend",
    "backends",
    multiple=True,
    help="Backend to measure; repeatable. Left out: every one that can run here.",
)
@click.option("--device", help="Device to run on; the backend's own by default.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
@click.option(
    "--input",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the DICOM files of one series; left out: a synthetic trunk.",
)
@click.option(
    "--shape",
    type=(click.IntRange(min=1), click.IntRange(min=1), click.IntRange(min=1)),
    default=(100, 256, 256),
    show_default=True,
    help="Slices, rows and columns of the synthetic image.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs that count."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(
    name: str,
    models_dir: Path | None,
    config_file: Path,
    backends: tuple[str, ...],
    device: str | None,
    threads: int | None,
    folder: Path | None,
    shape: tuple[int, int, int],
    rounds: int,
    as_json: bool,
) -> None:
    """Measure package NAME stage by stage, on each backend, against the machine's peak."""
    screen = Console(stderr=True)
    usable = [backend for backend, missing in availability() if missing is None]
    try:
        catalogue = packages(models_dir or read_config(config_file).models_dir)
        package = catalogue.get(name)
        coarse = coarse_pass(package, catalogue)
        volumes, decode_s = _images(package, folder, shape)
        with screen.status("measuring the machine's peak") as status:
            peak = peak_gflops()
            found = []
            for backend in backends or usable:
                status.update(f"{backend}: {rounds} rounds and one to warm up")
                run = partial(
                    measure,
                    package,
                    volumes,
                    device=device,
                    threads=threads,
                    rounds=rounds,
                    coarse=coarse,
                )
                try:
                    found.append((backend, run(backend=backend)))
                except BackendUnavailable as error:
                    if backend in backends:
                        raise
                    screen.print(f"{backend} is left out: {error}")
                if backend == "onnx" and is_installed() and package.manifest.infer.patch:
                    status.update("onnx, swept by MONAI")
                    swept = run(backend=backend, stopwatch=MonaiStopwatch)
                    found.append(("onnx, swept by MONAI", swept))
    except (EngineError, NodeError) as error:
        raise click.ClickException(str(error)) from error
    report = _report(package, volumes, decode_s, peak, found)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)


def _images(
    package: Package, folder: Path | None, shape: tuple[int, int, int]
) -> tuple[Sequence[Volume], float | None]:
    """Give the images and how long it took to decode them, seconds."""
    whole = package.manifest.model.ndim == 2 and package.manifest.infer.mode == "whole"
    if folder is None:
        return phantom(package, (1, *shape[1:]) if whole else shape), None
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if not paths:
        raise click.ClickException(f"{folder} has no files")
    start = time.perf_counter()
    source = read_image(paths[0]) if whole else read_series(paths)
    volume = source.volume if source.stack is None else source.stack.straighten(source.volume)
    return [volume], time.perf_counter() - start


def _report(
    package: Package,
    volumes: Sequence[Volume],
    decode_s: float | None,
    peak: float,
    found: Sequence[tuple[str, Rounds]],
) -> dict[str, Any]:
    rows = [_row(package, name, rounds) for name, rounds in found]
    rates = [row["gflops_per_core"] for row in rows if row["gflops_per_core"] is not None]
    # Convolutions that are computed in fewer operations than were counted can be faster than
    # any product of matrices: the peak is the best that was seen here, so no share exceeds it.
    best = max([peak, *rates])
    for row in rows:
        rate = row["gflops_per_core"]
        row["share_of_peak"] = None if rate is None else rate / best
    return {
        "model": package.name,
        "version": package.version,
        "image": list(volumes[0].grid.shape),
        "decode_s": decode_s,
        "peak_gflops": best,
        "peak_of": "matrix product" if best == peak else "network",
        "backends": rows,
    }


def _row(package: Package, name: str, rounds: Rounds) -> dict[str, Any]:
    operations, network = _operations(package, rounds), rounds.network
    busy = rounds.least_network_cpu_seconds
    here = rounds.device == "cpu" and rounds.backend not in ELSEWHERE
    counted = bool(operations and network)
    return {
        "backend": name,
        "device": rounds.device,
        "way": rounds.way,
        "calls": sum(rounds.input_shapes.values()),
        "seconds": {stage: rounds.seconds(stage) for stage in rounds.stages},
        "total_s": rounds.total,
        "cpu_s": rounds.cpu_seconds,
        "overhead": rounds.overhead,
        "gflops": operations / network / 1e9 if operations and network else None,
        "gflops_per_core": operations / busy / 1e9 if operations and here and busy else None,
        "why_no_share": None if counted and here else _why_no_share(operations, here=here),
    }


def _why_no_share(operations: int | None, *, here: bool) -> str:
    if operations is None:
        return "needs onnx"
    return "nothing counted" if here else "peak not known"


def _operations(package: Package, rounds: Rounds) -> int | None:
    content, name = package.read_model(), package.manifest.model.inputs[0].name
    total = 0
    for shape, calls in rounds.input_shapes.items():
        one = floating_point_operations(content, name, shape)
        if one is None:
            return None
        total += one * calls
    return total


def _print(report: dict[str, Any]) -> None:
    rows = report["backends"]
    table = Table("median", *(f"{row['backend']} on {row['device']}" for row in rows))
    # Backends of the host and of a device have stages of their own.
    for stage in dict.fromkeys(stage for row in rows for stage in row["seconds"]):
        table.add_row(f"{stage}, s", *(_shown(row["seconds"].get(stage), ".3f") for row in rows))
    table.add_section()
    table.add_row("total, s", *(f"{row['total_s']:.3f}" for row in rows))
    table.add_row("processor time, s", *(f"{row['cpu_s']:.3f}" for row in rows))
    table.add_row("overhead", *(_shown(row["overhead"], ".1%") for row in rows))
    table.add_row("calls of the network", *(str(row["calls"]) for row in rows))
    table.add_row("network, GFLOP/s", *(_shown(row["gflops"], ".1f") for row in rows))
    table.add_row(
        "of the peak",
        *(_shown(row["share_of_peak"], ".0%", row["why_no_share"] or "–") for row in rows),
    )
    image = " × ".join(str(size) for size in report["image"])
    decode = "" if report["decode_s"] is None else f", decoded in {report['decode_s']:.3f} s"
    console = Console()
    console.print(f"{report['model']} {report['version']} on {image} voxels{decode}")
    console.print(table)
    for row in rows:
        if row["way"] != "on the host":
            console.print(f"{row['backend']}: {row['way']}.")
    console.print(
        f"Peak {report['peak_gflops']:.0f} GFLOP for a second of processor time (float32 "
        f"{report['peak_of']}, the best seen). Overhead: everything but the network, as a share "
        "of the network's time."
    )


def _shown(value: float | None, form: str, otherwise: str = "–") -> str:
    return otherwise if value is None else format(value, form)
