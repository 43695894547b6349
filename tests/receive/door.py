"""A listening node for the tests of the door, and what it has kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.config.model import Peer, Receive
from node.receive.commitment import CommitmentService
from node.receive.keep import Keeper
from node.receive.scp import StorageScp
from node.store.commitment import Commitments
from node.store.database import database_url, open_database
from node.store.files import Files
from node.store.index import Index
from node.store.ledger import Ledger
from tests.builders.network import wait_until
from tests.builders.records import NOON
from tests.receive.place import SMALL_JOURNAL

PRIVATE_SOP_CLASS = "1.3.12.2.1107.5.9.1"


class Door:
    """A listening node, and what it has kept."""

    def __init__(self, folder: Path, receive: Receive) -> None:
        self.folder = folder
        self.engine = open_database(database_url("sqlite", folder))
        self.files = Files(folder)
        self.index = Index(self.engine)
        self.ledger = Ledger(self.engine)
        self.keeper = Keeper(self.files, self.index, clock=lambda: NOON, receive=receive)
        self.commitments = Commitments(self.engine, folder)
        self.scp = StorageScp(
            receive,
            self.keeper,
            commitment=CommitmentService(
                self.ledger.proofs, self.commitments, {"PACS"}, lambda: NOON
            ),
        )
        self.scp.start()
        self.port = self.scp.port

    def instances(self, study_instance_uid: str) -> list[Any]:
        """What is kept of a study, once the index has all that was acknowledged."""
        self.wait_for_the_index()
        return self.index.study_instances(study_instance_uid)

    def wait_for_the_index(self) -> None:
        """Wait until the index has all that was acknowledged."""
        wait_until(lambda: self.keeper.is_idle, within_s=30, what="the index")

    def close(self) -> None:
        """Stop listening."""
        self.scp.stop()
        self.keeper.close()
        self.engine.dispose()


def receive(**difference: Any) -> Receive:
    """Its section of the configuration, on a free port."""
    plain = {
        "host": "127.0.0.1",
        "port": 0,
        "accept_from": (
            Peer(ae_title="CT1", host="127.0.0.1"),
            Peer(ae_title="ELSEWHERE", host="192.0.2.7"),
        ),
        "private_sop_classes": (PRIVATE_SOP_CLASS,),
        "journal_bytes": SMALL_JOURNAL,
    }
    return Receive.model_construct(**{**Receive().__dict__, **plain, **difference})
