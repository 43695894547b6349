"""How many received instances a second the index takes, by how many come together.

    python benchmarks/index_inserts.py [--rounds 5] [--instances 1600] [--folder FOLDER]

SQLite in a fresh folder, every transaction synced, one series after the other as a scanner
sends them; the batch sizes take turns. Prints medians, and the ratio to plain inserts through
the driver: one row, one synced transaction, no question asked before.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from node.domain import Instance
from node.store.database import database_url, open_database
from node.store.index import Index
from node.store.standing import Arrival
from tests.builders.records import after, instance

BATCHES = (1, 4, 16)
IMAGES_PER_SERIES = 400
ATTRIBUTES = {
    "Modality": "CT",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "Manufacturer": "Scanner Works",
    "ManufacturerModelName": "Model 64",
    "BodyPartExamined": "CHEST",
    "SeriesDescription": "Thorax 1.0 Br40",
    "StudyDescription": "CT Thorax",
    "ProtocolName": "Thorax routine",
    "ConvolutionKernel": "Br40d",
    "SliceThickness": 1.0,
    "PixelSpacing": [0.7, 0.7],
    "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    "ImagePositionPatient": [-180.0, -180.0, 100.5],
    "Rows": 512,
    "Columns": 512,
    "InstanceNumber": 7,
    "PhotometricInterpretation": "MONOCHROME2",
}


def images(seed: str, count: int) -> list[Instance]:
    """Instances of as many series as are needed, a study each."""
    made = []
    for number in range(count):
        study = f"1.2.{seed}.{number // IMAGES_PER_SERIES}"
        made.append(
            instance(
                number,
                study_instance_uid=study,
                series_instance_uid=f"{study}.1",
                sop_instance_uid=f"{study}.1.{number}",
                digest=f"{seed}{number:x}".rjust(64, "0"),
                received_at=after(number / 100),
                attributes=ATTRIBUTES,
            )
        )
    return made


def through_the_index(index: Index, size: int, seed: str, count: int) -> float:
    """Record instances in batches of one size; return how many a second."""
    arrivals = [Arrival(one, patient="d" * 64) for one in images(seed, count)]
    started = time.perf_counter()
    for first in range(0, count, size):
        index.record_instances(arrivals[first : first + size])
    return count / (time.perf_counter() - started)


def through_the_driver(folder: Path, seed: str, count: int) -> float:
    """Insert the same columns, one synced transaction each; return how many a second."""
    connection = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS instances (id INTEGER PRIMARY KEY, study TEXT, series TEXT, "
        "sop TEXT, digest TEXT, attributes TEXT, UNIQUE (study, series, sop, digest))"
    )
    rows = [
        (one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid, one.digest)
        for one in images(seed, count)
    ]
    attributes = json.dumps(ATTRIBUTES)
    started = time.perf_counter()
    for row in rows:
        connection.execute(
            "INSERT INTO instances (study, series, sop, digest, attributes) VALUES (?, ?, ?, ?, ?)",
            (*row, attributes),
        )
    spent = time.perf_counter() - started
    connection.close()
    return count / spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instances", type=int, default=1600)
    parser.add_argument("--folder", type=Path, help="On the disk to measure.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        engine = open_database(database_url("sqlite", folder))
        index = Index(engine)
        ways: dict[str, Callable[[str, int], float]] = {
            "driver, 1 row, nothing asked": lambda seed, count: through_the_driver(
                folder, seed, count
            )
        }
        for size in BATCHES:
            ways[f"index, batches of {size}"] = lambda seed, count, size=size: through_the_index(
                index, size, seed, count
            )
        found: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(arguments.rounds):
            for number, (way, measure) in enumerate(ways.items()):
                found[way].append(measure(f"{turn + 1}{number}", arguments.instances))
        engine.dispose()
    table = Table("way", "instances/s", "ratio", title="Instances recorded, SQLite, synced")
    plain = median(found["driver, 1 row, nothing asked"])
    for way, rates in found.items():
        table.add_row(way, f"{median(rates):.0f}", f"{median(rates) / plain:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
