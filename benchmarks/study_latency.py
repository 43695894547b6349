"""From the last C-STORE of a CT study to each result in the PACS, split by step.

    python benchmarks/study_latency.py [--rounds 5]

Sends a real CT (60 slices) to a running node with a storage SCP on loopback as the
PACS. Prints medians. *Overhead* is everything but the quiet period and the model: what the
node itself costs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

from pydicom import dcmread
from pydicom.dataset import Dataset
from rich.console import Console
from rich.table import Table

from node.cli.demo_data import chest_ct
from node.domain import StudyState, derived_uid
from node.work.product import load_product
from tests.builders.network import Peer, store_all
from tests.node.running import RunningNode

QUIET_PERIOD_S = 1.0
MODELS = Path(__file__).resolve().parents[1] / "models"
RULE = {"name": "CT", "when": {"Modality": "CT"}, "run": ["ct-lungs"], "send_to": ["pacs"]}


class TimingPacs(Peer):
    """A PACS that notes when each object arrived."""

    def __init__(self) -> None:
        self.arrived: dict[tuple[str, str], float] = {}
        super().__init__(answer=self._note)

    def _note(self, ds: Dataset) -> int:
        self.arrived[str(ds.StudyInstanceUID), str(ds.Modality)] = time.time()
        return 0x0000


def renamed(images: list[Dataset], number: int) -> list[Dataset]:
    """The same images as another study."""
    seed = f"study latency {number} {time.time()}"
    for index, ds in enumerate(images):
        ds.StudyInstanceUID = derived_uid(seed)
        ds.SeriesInstanceUID = derived_uid(seed, "series")
        ds.SOPInstanceUID = derived_uid(seed, str(index))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return images


def one_round(node: RunningNode, pacs: TimingPacs, images: list[Dataset]) -> dict[str, float]:
    """Send one study and return seconds by what they were spent on."""
    uid = str(images[0].StudyInstanceUID)
    began = time.time()
    store_all(node.port, images)
    sent = time.time()
    assert node.settled(uid) is StudyState.DONE
    index, ledger = node.stores.index, node.stores.ledger
    row = index.revision(uid, 1)
    assert row is not None
    steps = {step.step: step.seconds for step in ledger.steps(uid, 1)}
    (product,) = (node.folder / "data" / "results").rglob("result.npz")
    _, provenance = load_product(product)
    product.unlink()
    last_received = max(i.received_at for i in index.study_instances(uid))
    times = {
        "receive 60 slices": sent - began,
        "quiet period and its detection": _seconds(last_received, row.complete_at),
        "plan": steps["plan"],
        "infer, of it the model": provenance.seconds,
        "infer, of it all else": steps["infer"] - provenance.seconds,
        "encode": steps["encode"],
        "deliver": steps["deliver"],
    }
    for modality in ("SEG", "SR", "OT"):
        if (uid, modality) in pacs.arrived:
            times[f"last C-STORE to {modality} in the PACS"] = pacs.arrived[uid, modality] - sent
    whole = max(t for (study, _), t in pacs.arrived.items() if study == uid) - sent
    times["overhead without quiet period and model"] = whole - QUIET_PERIOD_S - provenance.seconds
    return times


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    images = [dcmread(file) for file in chest_ct(patient=1).files]
    pacs = TimingPacs()
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as folder:
        node = RunningNode(Path(folder), pacs.port, models_dir=str(MODELS), rules=[RULE])
        try:
            node.start()
            results = [one_round(node, pacs, renamed(images, n)) for n in range(rounds)]
        finally:
            node.stop()
            pacs.stop()
    table = Table("CT study, 60 slices", "median s", "min", "max", title=f"{rounds} rounds")
    for name in results[0]:
        values = [result[name] for result in results]
        table.add_row(name, *(f"{f(values):.2f}" for f in (median, min, max)))
    Console().print(table)


if __name__ == "__main__":
    main()
