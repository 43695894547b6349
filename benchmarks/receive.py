"""Images per second through the door, against other receivers in the same run.

    python benchmarks/receive.py [--rounds 5] [--images 300] [--dir DIR] [--only NAME …]

DCMTK's `storescu` sends CT slices of 512 x 512 pixels over loopback with one and with four
associations, in turn to each receiver: the node with full and with relaxed durability, DCMTK's
`storescp`, Orthanc (its storage synced, its default) and pynetdicom's usual handler. Each
round starts every receiver anew on an empty folder of the same disk. Prints medians: images
per second until the senders have their last answer, processor time per image until the index
has it, too, largest resident memory and the ratio to `storescp`; then the time to open an
association and what fifty idle ones cost.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
import yaml
from pydicom.uid import generate_uid
from rich.console import Console
from rich.table import Table

from tests.builders import ct_series
from tests.builders.network import free_port, wait_until
from tests.deliver.peers import dcmtk
from tests.receive.wire import Wire, associate_request

NO_DELAY = {**os.environ, "TCP_NODELAY": "1"}
SENDERS = (1, 4)
IDLE = 50
IDLE_S = 3.0
MODELS = Path(__file__).resolve().parents[1] / "models"

PYNETDICOM = """
import sys
from pathlib import Path
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
folder, port = Path(sys.argv[1]), int(sys.argv[2])
def store(event):
    name = folder / f"{event.request.AffectedSOPInstanceUID}.dcm"
    name.write_bytes(event.encoded_dataset())
    return 0
ae = AE("WETREAD")
ae.maximum_associations = 100
ae.network_timeout = None
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
ae.add_supported_context("1.2.840.10008.1.1")
ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])
"""


@dataclass
class Measured:
    """What one receiver did, one entry for each round."""

    images_per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


class Receiver:
    """A receiver as a process of its own, started on an empty folder."""

    name = ""
    ae_title = "WETREAD"

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        return None

    def command(self, folder: Path, port: int) -> list[str]:
        """Write what it needs into the folder and return its command line."""
        raise NotImplementedError

    def is_ready(self, log: Path) -> bool:
        """Whether it is as it would be on the day after its installation."""
        return True

    def is_done(self, images: int) -> bool:
        """Whether it has nothing left to do with the images that it has acknowledged."""
        return True

    @contextmanager
    def running(self, place: Path) -> Iterator[tuple[int, psutil.Process]]:
        """Its port and process, once it answers; its folder is a new one under `place`."""
        folder, port = Path(tempfile.mkdtemp(dir=place)), free_port()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                self.command(folder, port), stdout=log, stderr=log, env=NO_DELAY
            )
        try:
            wait_until(lambda: self._answers(port), within_s=60, what=self.name)
            wait_until(lambda: self.is_ready(folder / "log"), within_s=60, what=self.name)
            # What others have written must not be written out while this one is measured.
            os.sync()
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)
            empty_files(folder)

    def _answers(self, port: int) -> bool:
        title = self.ae_title
        done = subprocess.run(
            [dcmtk("echoscu"), "-aet", "CT1", "-aec", title, "127.0.0.1", str(port)],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


class Node(Receiver):
    """The node's receive role."""

    def __init__(self, durability: str, processes: int = 1) -> None:
        self.name = f"wetread, {durability}" + (f", {processes} processes" * (processes > 1))
        self._durability = durability
        self._processes = processes
        self._data_dir = Path()

    def is_done(self, images: int) -> bool:
        """Whether so many images are in its index."""
        with closing(sqlite3.connect(self._data_dir / "wetread.sqlite", timeout=60)) as index:
            return bool(index.execute("SELECT count(*) FROM instances").fetchone()[0] == images)

    def is_ready(self, log: Path) -> bool:
        """Whether its journals have been made, as they are from its first start on."""
        return log.read_text().count("journal.ready") == self._processes

    def command(self, folder: Path, port: int) -> list[str]:
        """Run one role with a configuration of its own."""
        self._data_dir = folder / "data"
        pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 1}
        rule = {"name": "r", "when": {"Modality": "CT"}, "run": ["ct-lungs"], "send_to": ["pacs"]}
        configuration = {
            "data_dir": str(self._data_dir),
            "models_dir": str(MODELS),
            "receive": {
                "host": "127.0.0.1",
                "port": port,
                "accept_from": [{"ae_title": "CT1"}],
                "durability": self._durability,
                "processes": self._processes,
                "max_associations": 100,
            },
            "destinations": {"pacs": pacs},
            "rules": [rule],
        }
        file = folder / "wetread.yaml"
        file.write_text(yaml.safe_dump(configuration))
        return [sys.executable, "-m", "node", "run", "--config", str(file), "--role", "receive"]


class StoreScp(Receiver):
    """DCMTK's storescp, a process for each association, files as they come."""

    name = "DCMTK storescp"

    def command(self, folder: Path, port: int) -> list[str]:
        """Fork, write bit by bit, accept everything."""
        (folder / "out").mkdir()
        options = ["--fork", "+B", "+xa", "-aet", self.ae_title, "-od", str(folder / "out")]
        return [dcmtk("storescp"), *options, str(port)]


class Orthanc(Receiver):
    """Orthanc with its default: storage synced."""

    name = "Orthanc"

    def missing(self) -> str | None:
        """Whether Orthanc is installed."""
        return None if shutil.which("Orthanc") else "Orthanc is not installed"

    def command(self, folder: Path, port: int) -> list[str]:
        """A configuration that takes everything."""
        file = folder / "orthanc.json"
        configuration = {
            "StorageDirectory": str(folder / "db"),
            "HttpPort": free_port(),
            "DicomPort": port,
            "DicomAet": self.ae_title,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowEcho": True,
            "SyncStorageArea": True,
            "Plugins": [],
        }
        file.write_text(json.dumps(configuration))
        return ["Orthanc", str(file)]


class Pynetdicom(Receiver):
    """pynetdicom, the handler of its documentation."""

    name = "pynetdicom"

    def command(self, folder: Path, port: int) -> list[str]:
        """A script of a dozen lines."""
        return [sys.executable, "-c", PYNETDICOM, str(folder), str(port)]


def write_studies(folder: Path, senders: int, images: int) -> list[Path]:
    """One folder of slices for each sender."""
    folders = []
    for sender in range(senders):
        place = folder / f"sender-{sender}"
        place.mkdir()
        study, series = generate_uid(), generate_uid()
        base = ct_series(slices=1, rows=512, columns=512)[0]
        for number in range(images):
            base.StudyInstanceUID, base.SeriesInstanceUID = study, series
            base.SOPInstanceUID = generate_uid()
            base.file_meta.MediaStorageSOPInstanceUID = base.SOPInstanceUID
            base.InstanceNumber = number + 1
            base.save_as(place / f"{number:04}.dcm", enforce_file_format=True)
        folders.append(place)
    return folders


def empty_files(folder: Path) -> None:
    """Give the memory that the cached content of files takes back, and keep the files.

    A virtual machine gets each page of memory that it touches for the first time from its host,
    at several times what it takes to write to it; the pages of a moment ago are there at once.
    """
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            os.truncate(file, 0)


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a process and of all children it ever had."""
    times = []
    for one in (process, *process.children(recursive=True)):
        # A process for one association may end at any moment.
        with suppress(psutil.NoSuchProcess):
            times.append(one.cpu_times())
    ended = process.cpu_times()
    alive = sum(t.user + t.system for t in times)
    return alive + ended.children_user + ended.children_system


def peak_mb(process: psutil.Process) -> float:
    """Largest resident memory of the largest process so far, MB."""
    peaks = []
    for one in (process, *process.children(recursive=True)):
        # A process for one association may end at any moment.
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{one.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    peaks.append(int(line.split()[1]) / 1024)
    return max(peaks)


def send(port: int, ae_title: str, folders: list[Path]) -> float:
    """Send each folder over an association of its own, all at once; return the seconds."""
    began = time.perf_counter()
    command = [dcmtk("storescu"), "-aet", "CT1", "-aec", ae_title, "+sd", "127.0.0.1", str(port)]
    senders = [subprocess.Popen([*command, str(folder)], env=NO_DELAY) for folder in folders]
    for sender in senders:
        assert sender.wait() == 0
    return time.perf_counter() - began


def one_round(
    receiver: Receiver, place: Path, folders: list[Path], images: int, into: Measured
) -> None:
    """Start a receiver, send, and note what it took."""
    with receiver.running(place) as (port, process):
        before = cpu_seconds(process)
        seconds = send(port, receiver.ae_title, folders)
        total = len(folders) * images
        wait_until(lambda: receiver.is_done(total), within_s=60, what="the index")
        into.images_per_s.append(total / seconds)
        into.rss_mb.append(peak_mb(process))
        into.cpu_ms.append((cpu_seconds(process) - before) / total * 1e3)


def set_up_and_idle(receiver: Receiver, place: Path) -> tuple[float, float]:
    """Median time to open an association, ms; share of a core that idle ones take."""
    request = associate_request()
    with receiver.running(place) as (port, process), ExitStack() as stack:
        times = []
        for _ in range(IDLE):
            began = time.perf_counter()
            wire = stack.enter_context(Wire(port))
            wire.send(request)
            assert wire.read_pdu()[:1] == b"\x02", receiver.name
            times.append(time.perf_counter() - began)
        before = cpu_seconds(process)
        time.sleep(IDLE_S)
        return median(times) * 1e3, (cpu_seconds(process) - before) / IDLE_S


def print_results(results: dict[tuple[str, int], Measured], names: list[str]) -> None:
    """The table, and the ratios to DCMTK and Orthanc."""
    table = Table("receiver", "associations", "images/s", "CPU ms/image", "RSS MB", "x storescp")
    for name in names:
        for senders in SENDERS:
            found = results[name, senders]
            peer = results.get((StoreScp.name, senders))
            ratio = "" if peer is None else f"{_ratio(found, peer):.2f}"
            table.add_row(
                name,
                str(senders),
                f"{median(found.images_per_s):.0f}",
                f"{median(found.cpu_ms):.2f}",
                f"{max(found.rss_mb):.0f}",
                ratio,
            )
    Console().print(table)


def _ratio(found: Measured, peer: Measured) -> float:
    """Median of the ratios of the rounds: both of a round saw the same machine."""
    pairs = zip(found.images_per_s, peer.images_per_s, strict=True)
    return median(ours / theirs for ours, theirs in pairs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--only", nargs="*", default=[], help="names of receivers")
    parser.add_argument("--dir", help="where all of them store; default: the temporary folder")
    options = parser.parse_args()
    receivers: list[Receiver] = [
        Node("full"),
        Node("relaxed"),
        StoreScp(),
        Orthanc(),
        Pynetdicom(),
    ]
    receivers = [r for r in receivers if not options.only or r.name in options.only]
    for receiver in list(receivers):
        if missing := receiver.missing():
            print(f"left out: {receiver.name}: {missing}")
            receivers.remove(receiver)
    results: dict[tuple[str, int], Measured] = defaultdict(Measured)
    # Nothing is deleted before the end: a file system looks for a free inode much longer
    # where many have been freed a moment ago.
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        place = Path(name)
        folders = write_studies(place, max(SENDERS), options.images)
        for number in range(options.rounds):
            for senders in SENDERS:
                for receiver in receivers:
                    into = results[receiver.name, senders]
                    one_round(receiver, place, folders[:senders], options.images, into)
            print(f"round {number + 1} of {options.rounds} done", flush=True)
        print_results(results, [receiver.name for receiver in receivers])
        for receiver in receivers:
            opening, idle = set_up_and_idle(receiver, place)
            print(
                f"{receiver.name}: association opened in {opening:.2f} ms; {IDLE} idle ones take "
                f"{100 * idle:.1f} % of a core"
            )


if __name__ == "__main__":
    main()
