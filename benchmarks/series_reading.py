"""Reading a CT series into a volume: the node against highdicom and pydicom.

    python benchmarks/series_reading.py [--slices 300] [--compressed 40] [--rounds 5]

All read the same files from the page cache, in turn; medians. *node* gives float32 voxels in
order with their headers, *highdicom* is ``get_volume_from_series``, *pydicom* is
``pixel_array`` of every slice with slope and intercept, stacked. All must give the same numbers,
or the benchmark fails. Below, milliseconds per frame of every decoder that is installed, on
one thread and on two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import highdicom
import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from rich.console import Console
from rich.table import Table

from engines.types import Array, FloatArray
from node.dicom.decode import decode
from node.dicom.volume import read_series
from tests.builders import ct_series

SIZE = 512


def series(slices: int) -> list[Dataset]:
    """Slices of 512 x 512 pixels of 12 bits with the noise of a low dose."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE]
    body = 1000.0 * (np.hypot(x - SIZE / 2, y - SIZE / 2) < 200)
    images = ct_series(slices=slices, rows=4, columns=4, spacing_mm=(1.0, 0.7, 0.7))
    for k, image in enumerate(images):
        organs = 200 * np.sin(x / 20 + k / 30) * np.cos(y / 30)
        stored = (body + organs + rng.normal(0, 20, (SIZE, SIZE))).clip(0, 4095)
        image.Rows = image.Columns = SIZE
        image.PixelData = stored.astype("<u2").tobytes()
    return images


def compress(image: Dataset, syntax: UID) -> Dataset:
    """Compress an image of `series`, without loss."""
    stored = np.frombuffer(image.PixelData, "<u2").reshape(SIZE, SIZE)
    if syntax == RLELossless:
        image.compress(syntax, generate_instance_uid=False)
        return image
    frame = {
        JPEGLSLossless: lambda: imagecodecs.jpegls_encode(stored),
        JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(stored, bitspersample=12),
        JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(
            stored, codecformat="j2k", reversible=True, bitspersample=12
        ),
        HTJ2KLossless: lambda: imagecodecs.htj2k_encode(stored),
    }[syntax]()
    image.PixelData = encapsulate([frame])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = syntax
    return image


def by_node(paths: Sequence[Path]) -> FloatArray:
    """As the node reads."""
    return read_series(paths).volume.voxels


def by_highdicom(paths: Sequence[Path]) -> Array:
    """As highdicom's documentation says."""
    volume = highdicom.get_volume_from_series([dcmread(path) for path in paths])
    return volume.array


def by_pydicom(paths: Sequence[Path]) -> FloatArray:
    """What anyone would write."""
    slices = []
    for path in paths:
        ds = dcmread(path)
        slices.append(
            (float(ds.ImagePositionPatient[2]), ds.pixel_array * float(ds.RescaleSlope)
             + float(ds.RescaleIntercept))
        )  # fmt: skip
    return np.stack([values for _, values in sorted(slices, key=lambda one: one[0])]).astype("f4")


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def read_table(folder: Path, slices: int, compressed: int, rounds: int) -> Table:
    """Compare the readers, for each transfer syntax."""
    table = Table("transfer syntax", "slices", "node s", "ms/slice", "highdicom s", "ratio",
                  "pydicom s", "ratio", title="A series into a volume")  # fmt: skip
    for syntax in (ExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1, JPEGLSLossless,
                   JPEG2000Lossless, HTJ2KLossless):  # fmt: skip
        count = slices if syntax == ExplicitVRLittleEndian else compressed
        paths = []
        for k, image in enumerate(series(count)):
            if syntax != ExplicitVRLittleEndian:
                compress(image, syntax)
            paths.append(folder / f"{syntax}-{k}.dcm")
            image.save_as(paths[-1], enforce_file_format=True)
        readers = (by_node, by_highdicom, by_pydicom)
        node, *others = (reader(paths) for reader in readers)
        for other in others:
            assert np.array_equal(node, other) or np.array_equal(node[::-1], other)
        times: list[list[float]] = [[], [], []]
        for _ in range(rounds):
            for one, reader in zip(times, readers, strict=True):
                one.append(seconds(lambda reader=reader, paths=paths: reader(paths)))
        ours, theirs, plain = map(median, times)
        table.add_row(syntax.keyword, str(count), f"{ours:.2f}", f"{1000 * ours / count:.2f}",
                      f"{theirs:.2f}", f"{theirs / ours:.1f}", f"{plain:.2f}",
                      f"{plain / ours:.1f}")  # fmt: skip
        for path in paths:
            path.unlink()
    return table


def per_frame(call: Callable[[], object], threads: int, frames: int = 12) -> float:
    """Milliseconds per frame with so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        return 1000 * seconds(lambda: list(pool.map(lambda _: call(), range(frames)))) / frames


def decoder_table() -> Table:
    """Every decoder there is, for each compressed transfer syntax."""
    table = Table("transfer syntax", "decoder", "1 thread ms", "2 threads ms",
                  title="One frame of 512 x 512")  # fmt: skip
    for syntax in (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless):
        image = compress(series(2)[0], syntax)
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        decoder = get_decoder(syntax)
        calls: dict[str, Callable[[], object]] = {
            "node": lambda frame=frame, syntax=syntax, image=image: decode(frame, syntax, image)
        }
        for plugin in decoder.available_plugins:
            calls[f"pydicom, {plugin}"] = lambda decoder=decoder, image=image, plugin=plugin: (
                decoder.as_array(image, raw=True, decoding_plugin=plugin)
            )
        for name, call in calls.items():
            table.add_row(
                syntax.keyword, name, f"{per_frame(call, 1):.1f}", f"{per_frame(call, 2):.1f}"
            )
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--compressed", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        Console().print(
            read_table(Path(folder), options.slices, options.compressed, options.rounds)
        )
    Console().print(decoder_table())


if __name__ == "__main__":
    main()
