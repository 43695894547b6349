"""A RIS that sends each message until it is accepted, to a node that dies at each durable step.

    python -m tests.receive.hl7.killed FOLDER

Each step has a folder of its own: a forked process keeps the messages and is killed there, and
another one gets what was not acknowledged. What was acknowledged before is a line of JSON in
FOLDER/deaths.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from node.config.model import Storage
from node.config.reports import Hl7Peer
from node.receive.hl7.keep import MessageKeeper
from node.store.database import database_url, open_database
from node.store.files import Files
from node.store.report_messages import ReportMessages
from node.store.reports import Reports
from tests.builders.hl7 import oru
from tests.crash.launch import MOMENTS, Trap

MESSAGES = (
    oru(["Pneumothorax."], control_id="1", status="P"),
    oru(["No pneumothorax."], control_id="2", status="C", at="20260101130000"),
    oru(["Effusion."], control_id="3", accession=""),
)
"""A report, its correction, and one that joins nothing: it is kept in quarantine."""
PEERS = (Hl7Peer(host="127.0.0.1"),)


def keep(folder: Path, point: str, number: int) -> None:
    """Keep what was not acknowledged; die at one step, or end with exit code 0."""
    acknowledged = folder / "acknowledged"
    engine = open_database(database_url("sqlite", folder))
    keeper = MessageKeeper(
        Files(folder),
        Reports(engine),
        ReportMessages(engine),
        Storage(min_free_percent=0, min_free_inodes_percent=0),
        lambda: datetime.now(UTC),
    )
    Trap(point, number).arm()
    for message in MESSAGES[len(acknowledged.read_bytes()) :]:
        keeper.keep(message, PEERS)
        with acknowledged.open("ab") as file:
            file.write(b"x")


def in_a_process_of_its_own(folder: Path, point: str, number: int) -> bool:
    """Keep in a forked process; whether it came to its end."""
    pid = os.fork()
    if not pid:
        keep(folder, point, number)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def main(top: Path) -> None:
    """Die at every step there is, before and after it."""
    for moment in MOMENTS:
        for number in count(1):
            folder = top / f"{moment}-{number}"
            folder.mkdir()
            (folder / "acknowledged").touch()
            ended = in_a_process_of_its_own(folder, f"{moment}:any", number)
            acknowledged = len((folder / "acknowledged").read_bytes())
            assert in_a_process_of_its_own(folder, f"{moment}:any", 0)
            line = {"folder": str(folder), "killed": not ended, "acknowledged": acknowledged}
            with (top / "deaths").open("a") as file:
                file.write(json.dumps(line) + "\n")
            if ended:
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]))
