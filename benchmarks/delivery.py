"""C-STORE of CT images to DCMTK's storescp: milliseconds an image, by sender.

    python benchmarks/delivery.py [--images 60] [--rounds 5]

Peers: storescp as Debian starts it, with Nagle's algorithm, and with TCP_NODELAY=1. Senders:
the node's, the one on pynetdicom that it replaces, and DCMTK's storescu. They take turns;
medians are printed. storescu is timed as a whole, start and association included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from node.config.destination import DimseDestination
from node.deliver.scu import send
from node.domain import DeliveryState, Outcome
from tests.builders import ct_series, write
from tests.builders.network import free_port
from tests.deliver.peers import dcmtk, storescp
from tests.deliver.pynetdicom_scu import send as send_by_pynetdicom

Sender = Callable[[Sequence[Path], DimseDestination], None]
STORESCU = "storescu (DCMTK)"


def by(sender: Callable[..., None]) -> Sender:
    """Make sure that every object arrives."""

    def run(paths: Sequence[Path], destination: DimseDestination) -> None:
        outcomes: list[Outcome] = []
        sender(paths, destination, "WETREAD", lambda _path, outcome: outcomes.append(outcome))
        assert [o.state for o in outcomes] == [DeliveryState.DELIVERED] * len(paths)

    return run


def by_storescu(paths: Sequence[Path], destination: DimseDestination) -> None:
    """Send with DCMTK, Nagle's algorithm off."""
    subprocess.run(
        [
            dcmtk("storescu"),
            "-aec",
            destination.ae_title,
            destination.host,
            str(destination.port),
            *paths,
        ],
        check=True,
        env={**os.environ, "TCP_NODELAY": "1"},
    )


SENDERS: dict[str, Sender] = {
    "node.deliver.scu": by(send),
    "pynetdicom": by(send_by_pynetdicom),
    STORESCU: by_storescu,
}


def images(folder: Path, count: int) -> list[Path]:
    """CT images of 512 × 512."""
    return write(ct_series(slices=count, rows=512, columns=512), folder)


def milliseconds(sender: Sender, paths: Sequence[Path], nodelay: bool, folder: Path) -> float:
    """Send all over one association to a fresh storescp."""
    with storescp(folder, free_port(), nodelay=nodelay) as destination:
        began = time.perf_counter()
        sender(paths, destination)
        return (time.perf_counter() - began) / len(paths) * 1e3


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[tuple[str, bool], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="wetread-bench-", dir=_memory()) as name:
        folder = Path(name)
        paths = images(folder / "ct", options.images)
        for number in range(options.rounds):
            for nodelay in (False, True):
                for sender, run in SENDERS.items():
                    stored = folder / f"{number}-{nodelay}-{sender[:4]}"
                    seconds = milliseconds(run, paths, nodelay, stored)
                    found.setdefault((sender, nodelay), []).append(seconds)
        size = paths[0].stat().st_size
    title = f"{options.images} images of {size // 1000} kB, {options.rounds} rounds: ms an image"
    table = Table("Sender", "storescp, default", "storescp, TCP_NODELAY", title=title)
    for sender in SENDERS:
        row = (found[sender, False], found[sender, True])
        table.add_row(sender, *(f"{median(v):.2f} ({min(v):.2f}–{max(v):.2f})" for v in row))
    Console().print(table)


def _memory() -> str | None:
    """A folder that is no disk, so that the disk of this machine is not measured."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


if __name__ == "__main__":
    main()
