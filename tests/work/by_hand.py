"""A node without processes, sockets or schedule: a test receives, and calls step after step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from engines.api import Backend
from engines.pool import Pool
from node.config.model import Config, Receive
from node.domain import DeliveryState, Plan
from node.receive.keep import Keeper
from node.store.acceptance import Acceptance
from node.store.commitment import Commitments
from node.store.database import database_url, open_database
from node.store.files import Files, result_folder
from node.store.index import Index, RevisionRow
from node.store.ledger import Ledger
from node.store.standing import Receipt
from node.work.outbox import Outbox
from node.work.senders import Senders
from node.work.steps import Equipment, Steps
from tests.builders.records import NOON
from tests.builders.wire import keep
from tests.node.running import tiny_models

CT_RULE = {
    "name": "CT",
    "when": {"Modality": "CT", "slices": {"min": 3}},
    "run": ["tiny-segment"],
    "send_to": ["pacs"],
}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        """Let time pass, by the words of `timedelta`."""
        self.now += timedelta(**by)


class ByHand:
    """The parts of a node on a folder; a second one on the same folder is its next process.

    Parameters
    ----------
    port
        Of the destination ``pacs``.
    pacs
        Further keys of that destination.
    files, ledger
        Classes that fail where a test wants it.
    backend
        Runs the models instead of the configured ones.
    changes
        Top-level keys of the configuration. Unless they say so, studies have no status object.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 104,
        pacs: dict[str, Any] | None = None,
        files: type[Files] = Files,
        ledger: type[Ledger] = Ledger,
        backend: Backend | None = None,
        **changes: Any,
    ) -> None:
        self.models = folder / "models"
        if not self.models.exists():
            tiny_models(self.models)
        pacs = {"ae_title": "MAINPACS", "host": "127.0.0.1", "port": port, **(pacs or {})}
        content = {
            "data_dir": folder / "data",
            "models_dir": self.models,
            "destinations": {"pacs": {"timeout_s": 5, **pacs}},
            "rules": [CT_RULE],
            "results": {"study_status": "none"},
        }
        self.config = Config.model_validate({**content, **changes})
        self.clock = Clock()
        self.files = files(self.config.data_dir)
        self._engine = open_database(database_url("sqlite", self.config.data_dir))
        self.index = Index(self._engine)
        self.ledger = ledger(self._engine)
        self._pool = Pool(self.models, backend=backend or self.config.work.backend, threads=1)
        equipment = Equipment(
            self.config,
            self.files,
            self.index,
            self.ledger,
            Commitments(self._engine, self.config.data_dir),
            Acceptance(self._engine),
            self._pool,
            self.clock,
        )
        self.steps = Steps(equipment)
        # Without chance every wait is as long as it can be.
        self.senders = Senders(self.config.destinations, equipment.means("this host", lambda: 0.0))

    def close(self) -> None:
        """Give back what a process holds."""
        self._pool.close()
        self._engine.dispose()

    def receive(self, images: Sequence[Dataset]) -> list[Receipt]:
        """Keep images as the receiver does."""
        # A journal takes longer to make than most of these tests take.
        keeper = Keeper(self.files, self.index, self.clock, receive=Receive(journal_bytes=0))
        try:
            return [keep(keeper, ds) for ds in images]
        finally:
            keeper.close()

    def complete(self, images: Sequence[Dataset]) -> str:
        """Receive images and close the next revision of their study; return the study's UID."""
        self.receive(images)
        uid = str(images[0].StudyInstanceUID)
        study = self.index.study(uid)
        assert study is not None
        assert self.index.complete_study(study, self.clock(), "quiet") is not None
        return uid

    def make(self, uid: str, revision: int = 1) -> list[str]:
        """Do all steps, as the workflow does, and return the destinations that wait."""
        for run in range(self.steps.plan(uid, revision)):
            if self.steps.infer(uid, revision, run):
                self.steps.encode(uid, revision, run)
        self.steps.hand_over(uid, revision)
        waiting = self.ledger.deliveries(uid, revision, state=DeliveryState.WAITING)
        return sorted({row.destination for row in waiting})

    def deliver(self, destination: str = "pacs") -> None:
        """Send what is due for a destination now, as one of its threads does."""
        self.outbox(destination).work_off()

    def outbox(self, destination: str = "pacs") -> Outbox:
        """The outbox of a destination."""
        return self.senders.outboxes[destination]

    def revision(self, uid: str, revision: int = 1) -> RevisionRow:
        """One revision, which is there."""
        row = self.index.revision(uid, revision)
        assert row is not None
        return row

    def plan(self, uid: str, revision: int = 1) -> Plan:
        """Its plan, which is there."""
        plan = self.revision(uid, revision).plan
        assert plan is not None
        return plan

    def objects(self, uid: str, revision: int = 1, run: int = 0) -> dict[str, bytes]:
        """The DICOM files of one run, by name."""
        folder = self.files.path(result_folder(uid, revision, run))
        return {path.name: path.read_bytes() for path in sorted(folder.glob("*.dcm"))}

    def datasets(self, uid: str, revision: int = 1, run: int = 0) -> dict[str, Dataset]:
        """The same, read, by modality."""
        read = [dcmread(BytesIO(content)) for content in self.objects(uid, revision, run).values()]
        return {str(ds.Modality): ds for ds in read}

    def problems(self, uid: str, revision: int = 1) -> list[str]:
        """What the steps that failed have said."""
        return [row.problem for row in self.ledger.steps(uid, revision) if row.problem]
