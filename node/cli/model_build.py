"""``wetread models build``: TensorRT plans, made before the first study needs them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from engines.catalogue import packages
from engines.errors import EngineError
from engines.package import Package
from node.cli.options import models_options, read_config

if TYPE_CHECKING:
    from engines.backends.tensorrt.backend import TensorRTBackend
    from engines.backends.tensorrt.plans import Order


@click.command()
@click.argument("names", nargs=-1)
@models_options
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Precision to build; repeatable. Left out: fp32 and the manifest's default.",
)
@click.option("--device", default="cuda:0", show_default=True, help="GPU to build for.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with npz files for int8, each with an array `input`; left out: the self-test's.",
)
@click.option(
    "--workspace-mb",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Scratch memory a layer may take on the GPU, MiB.",
)
@click.option(
    "--level",
    type=click.IntRange(0, 5),
    default=3,
    show_default=True,
    help="Effort of the search for fast kernels.",
)
@click.option("--tf32", is_flag=True, help="Let float32 convolutions round to TF32.")
@click.option(
    "--check", is_flag=True, help="Build without a GPU where TensorRT can, and keep nothing."
)
def build(
    names: tuple[str, ...],
    models_dir: Path | None,
    config_file: Path,
    precisions: tuple[str, ...],
    device: str,
    calibration: Path | None,
    workspace_mb: int,
    level: int,
    tf32: bool,
    check: bool,
) -> None:
    """Build TensorRT plans of packages NAMES, or of all, for the GPU of this machine."""
    # Here, because the other commands need no ONNX Runtime.
    from engines.backends.tensorrt.backend import TensorRTBackend
    from engines.backends.tensorrt.builder import BuildOptions
    from engines.backends.tensorrt.plans import Order, read_inputs

    backend = TensorRTBackend()
    options = BuildOptions(workspace_mb, level, tf32)
    try:
        catalogue = packages(models_dir or read_config(config_file).models_dir)
        wanted = [catalogue.get(name) for name in names] or list(catalogue.packages)
        inputs = read_inputs(sorted(calibration.glob("*.npz"))) if calibration else ()
    except EngineError as error:
        raise click.ClickException(str(error)) from error
    if not check and (reason := backend.missing()):
        raise click.ClickException(reason)
    failed = [
        package.name
        for package in wanted
        for precision in precisions or _usual(package)
        if not _built(backend, package, Order(precision, options, inputs), device, check)
    ]
    if failed:
        raise SystemExit(1)


def _usual(package: Package) -> list[str]:
    """Give float32, which stands in where another one fails, and what the manifest prefers."""
    return list(dict.fromkeys(("fp32", package.manifest.model.precision.default)))


def _built(
    backend: TensorRTBackend, package: Package, order: Order, device: str, check: bool
) -> bool:
    """Build one plan and print what came of it; False if nothing did."""
    head = f"{package.name} {package.version} {order.precision}:"
    start = time.perf_counter()
    with Console(stderr=True).status(head) as status:

        def tell(phase: str, done: int, steps: int) -> None:
            status.update(f"{head} {phase}, {done} of {steps}")

        try:
            if check:
                made = backend.check(package, order, tell)
                words = f"can be built ({len(made.built.plan) / 1e6:.1f} MB)"
            else:
                path = backend.build(package, order, device=device, progress=tell)
                words = f"built, {path}" if path else "there already"
        except (EngineError, OSError) as error:
            click.echo(f"{head} {error}", err=True)
            return False
    click.echo(f"{head} {words}, {time.perf_counter() - start:.1f} s")
    return True


__all__ = ["build"]
