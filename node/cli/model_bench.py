"""``wetread models bench``: how long each stage of a model takes on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from engines.bench import (
    COARSE,
    STAGES,
    Rounds,
    floating_point_operations,
    measure,
    peak_gflops,
)
from engines.bench.monai import MonaiStopwatch, is_installed
from engines.catalogue import packages
from engines.errors import BackendUnavailable, EngineError
from engines.package import Package
from engines.registry import availability
from engines.serving.coarse import coarse_pass
from engines.types import Volume
from node.cli.bench_images import decoded, write_phantom
from node.cli.options import models_options, read_config
from node.errors import NodeError

ELSEWHERE = ("kserve",)
"""Backends whose network runs in another process: its processor time is not seen here."""

OVER_THE_NETWORK: Final = "in infer: over the network"

DECODE: Final = "decode"
"""Reading and decoding the images, by the reader of the node; the same for all backends."""


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
    help="Folder with the DICOM files of one series; left out: a synthetic trunk, as such files.",
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
        volumes, decode_s = _images(package, folder, shape, rounds)
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
    package: Package, folder: Path | None, shape: tuple[int, int, int], rounds: int
) -> tuple[Sequence[Volume], float]:
    """Give the images, and how long it took to decode them, seconds."""
    if folder is None:
        with TemporaryDirectory(prefix="wetread-bench-") as synthetic:
            return decoded(package, write_phantom(package, shape, Path(synthetic)), rounds)
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if not paths:
        raise click.ClickException(f"{folder} has no files")
    return decoded(package, paths, rounds)


def _report(
    package: Package,
    volumes: Sequence[Volume],
    decode_s: float,
    peak: float,
    found: Sequence[tuple[str, Rounds]],
) -> dict[str, Any]:
    rows = [_row(package, name, rounds, decode_s) for name, rounds in found]
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
        "peak_gflops": best,
        "peak_of": "matrix product" if best == peak else "network",
        "backends": rows,
    }


def _row(package: Package, name: str, rounds: Rounds, decode_s: float) -> dict[str, Any]:
    operations, network = _operations(package, rounds), rounds.network
    busy = rounds.least_network_cpu_seconds
    elsewhere = rounds.backend in ELSEWHERE
    here = rounds.device == "cpu" and not elsewhere
    missing = rounds.missing
    if elsewhere:
        missing |= {"upload": OVER_THE_NETWORK, "download": OVER_THE_NETWORK}
    counted = bool(operations and network)
    return {
        "backend": name,
        "device": rounds.device,
        "way": rounds.way,
        "calls": sum(rounds.input_shapes.values()),
        "seconds": {DECODE: decode_s, **{stage: rounds.seconds(stage) for stage in rounds.stages}},
        "missing": missing,
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
    for stage in (DECODE, COARSE, *STAGES):
        if stage != COARSE or any(COARSE in row["seconds"] for row in rows):
            times = (row["seconds"].get(stage) for row in rows)
            table.add_row(f"{stage}, s", *(_shown(seconds, ".3f") for seconds in times))
    table.add_section()
    table.add_row("total without decode, s", *(f"{row['total_s']:.3f}" for row in rows))
    table.add_row("processor time, s", *(f"{row['cpu_s']:.3f}" for row in rows))
    table.add_row("overhead", *(_shown(row["overhead"], ".1%") for row in rows))
    table.add_row("calls of the network", *(str(row["calls"]) for row in rows))
    table.add_row("network, GFLOP/s", *(_shown(row["gflops"], ".1f") for row in rows))
    table.add_row(
        "of the peak",
        *(_shown(row["share_of_peak"], ".0%", row["why_no_share"] or "–") for row in rows),
    )
    image = " × ".join(str(size) for size in report["image"])
    console = Console()
    console.print(f"{report['model']} {report['version']} on {image} voxels")
    console.print(table)
    for row in rows:
        absent = "; ".join(
            f"{', '.join(stages)}: {why}" for why, stages in _by_reason(row["missing"]).items()
        )
        if absent:
            console.print(f"{row['backend']} has no {absent}.")
        if row["way"] != "on the host":
            console.print(f"{row['backend']}: {row['way']}.")
    console.print(
        f"Peak {report['peak_gflops']:.0f} GFLOP for a second of processor time (float32 "
        f"{report['peak_of']}, the best seen). Overhead: everything but the network, as a share "
        "of the network's time."
    )


def _by_reason(missing: dict[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for stage, why in missing.items():
        reasons.setdefault(why, []).append(stage)
    return reasons


def _shown(value: float | None, form: str, otherwise: str = "–") -> str:
    return otherwise if value is None else format(value, form)
