"""Reading the index's elements of a file: the scanner against pydicom.

    python benchmarks/header_scan.py [--rounds 9]

Each corpus is read from files in the page cache, by both in turn; medians of microseconds per
file. *Left to pydicom* is the share of files that the scanner is not sure of; for those the
node takes both times. Both must say the same of every file, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from statistics import median

from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian
from rich.console import Console
from rich.table import Table

from node.cli.demo_data import chest_ct
from node.errors import PermanentError
from node.store.elements import ELEMENTS, IDENTIFIERS, Header
from node.store.header import header_of_file, read_header
from node.store.scanner import WINDOW_BYTES, scan
from tests.builders import ct_series
from tests.builders.radiograph import radiograph


def by_dcmread(path: Path) -> object:
    """What anyone would write: pydicom, the wanted elements, every value once."""
    ds = dcmread(path, stop_before_pixels=True, specific_tags=list(ELEMENTS))
    return [ds.get(element.keyword) for element in ELEMENTS.values()]


def by_fallback(path: Path) -> Header:
    """Read as the node does where the scanner is not sure."""
    with path.open("rb") as file:
        return read_header(file)


def is_scanned(path: Path) -> bool:
    """Whether the scanner answers."""
    content = path.read_bytes()
    values = scan(lambda offset: content[offset : offset + WINDOW_BYTES])
    return values is not None and all(word in values for word in IDENTIFIERS)


def instances_below(package: str) -> list[Path]:
    """The files of a package that have what an instance needs."""
    found = find_spec(package)
    if found is None or found.origin is None:
        return []
    paths = sorted(path for path in Path(found.origin).parent.rglob("*") if path.is_file())
    return [path for path in paths if _is_instance(path)]


def _is_instance(path: Path) -> bool:
    try:
        by_fallback(path)
    except PermanentError:
        return False
    return True


def built(folder: Path) -> list[Path]:
    """Our own images, in explicit and in implicit VR."""
    for number, ds in enumerate([*ct_series(slices=40), radiograph()]):
        for implicit in (False, True):
            if implicit:
                ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            stream = BytesIO()
            ds.save_as(stream, enforce_file_format=True)
            (folder / f"{number}-{implicit}.dcm").write_bytes(stream.getvalue())
    return sorted(folder.iterdir())


def seconds(read: Callable[[Path], object], paths: list[Path]) -> float:
    """Read all files once."""
    started = time.perf_counter()
    for path in paths:
        read(path)
    return time.perf_counter() - started


def row(name: str, paths: list[Path], rounds: int) -> list[str]:
    """Measure one corpus."""
    for path in paths:
        assert repr(header_of_file(path)) == repr(by_fallback(path)), path
    left = sum(not is_scanned(path) for path in paths) / len(paths)
    readers = (header_of_file, by_dcmread, by_fallback)
    times = [[seconds(read, paths) for read in readers] for _ in range(rounds)]
    ours, dcmread_s, fallback = (
        median(column) / len(paths) * 1e6 for column in zip(*times, strict=True)
    )
    return [
        name,
        f"{len(paths)}",
        f"{ours:.0f}",
        f"{dcmread_s:.0f}",
        f"{fallback:.0f}",
        f"{dcmread_s / ours:.1f} ×",
        f"{left:.0%}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    table = Table(title="µs per file")
    for heading in ("corpus", "files", "scanner", "dcmread", "fallback", "ratio", "left"):
        table.add_column(heading, justify="left" if heading == "corpus" else "right")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        corpora = {
            "CT of pycerr": [path for patient in (1, 2, 3, 4) for path in chest_ct(patient).files],
            "our builders": built(Path(folder)),
            "pydicom": instances_below("pydicom"),
            "pydicom-data": instances_below("data_store"),
        }
        for name, paths in corpora.items():
            if paths:
                table.add_row(*row(name, paths, rounds))
    Console().print(table)


if __name__ == "__main__":
    main()
