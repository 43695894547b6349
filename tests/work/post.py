"""Outboxes over a ledger with small objects, without models and without a flow."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from node.config.destination import Destination, DicomwebDestination, DimseDestination
from node.domain import DeliveryState, ResultKind, StudyState
from node.store.commitment import Commitments
from node.store.database import database_url, open_database
from node.store.delivery import DeliveryRow
from node.store.files import Files
from node.store.index import Index
from node.store.ledger import Ledger
from node.work.means import Means
from node.work.outbox import Outbox
from node.work.senders import Senders
from node.work.settle import Settlement
from tests.builders import radiograph
from tests.builders.records import artifact, instance
from tests.work.by_hand import Clock

RETRY = {"first_s": 10, "longest_s": 80, "give_up_after_h": 2}


class Post:
    """A work process that only delivers.

    Parameters
    ----------
    destinations
        Name → keys of its configuration; ``host``, ``timeout_s`` and ``retry`` are there.
    chance
        Of the jitter; by default every wait is as long as it can be.
    ledger
        A class that fails where a test wants it.
    """

    def __init__(
        self,
        folder: Path,
        destinations: Mapping[str, Mapping[str, Any]],
        *,
        owner: str = "this host",
        chance: random.Random | None = None,
        clock: Callable[[], datetime] | None = None,
        ledger: type[Ledger] = Ledger,
    ) -> None:
        self.clock = clock or Clock()
        self.files = Files(folder)
        self.engine = open_database(database_url("sqlite", folder))
        self.index, self.ledger = Index(self.engine), ledger(self.engine)
        self.senders = Senders(
            {name: _destination(keys) for name, keys in destinations.items()},
            Means(
                files=self.files,
                ledger=self.ledger,
                commitments=Commitments(self.engine, folder),
                settlement=Settlement(self.index, self.ledger, self.clock),
                clock=self.clock,
                chance=chance.random if chance else lambda: 0.0,
                owner=owner,
                calling_ae_title="WETREAD",
            ),
        )

    def close(self) -> None:
        """End the threads, if they run, and give back the database."""
        self.senders.stop()
        self.engine.dispose()

    def outbox(self, name: str = "pacs") -> Outbox:
        """The outbox of a destination."""
        return self.senders.outboxes[name]

    def put(
        self,
        *numbers: int,
        study: str = "1.2.3",
        priority: int = 0,
        kind: ResultKind = ResultKind.SC,
        to: tuple[str, ...] = ("pacs",),
        **difference: Any,
    ) -> None:
        """Write small objects with these numbers as SOP Instance UIDs 2.25.NUMBER."""
        made = []
        for number in numbers:
            ds = radiograph(SOPInstanceUID=f"2.25.{number}", StudyInstanceUID=study, **difference)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            path = self.files.path(f"results/{number}.dcm")
            path.parent.mkdir(parents=True, exist_ok=True)
            ds.save_as(path, enforce_file_format=True)
            made.append(
                artifact(
                    number,
                    study_instance_uid=study,
                    sop_class_uid=str(ds.SOPClassUID),
                    series_instance_uid=str(ds.SeriesInstanceUID),
                    kind=kind,
                    priority=priority,
                    destinations=to,
                )
            )
        self.ledger.record_artifacts(made, "key", self.clock())

    def deliver(self, name: str = "pacs") -> None:
        """Send what is due now, as one thread does."""
        self.outbox(name).work_off()

    def hand_over(self, study: str = "1.2.3") -> None:
        """Make a study of these objects, and hand its first revision over."""
        self.index.record_instance(instance(study_instance_uid=study))
        row = self.index.study(study)
        assert row is not None
        assert self.index.complete_study(row, self.clock(), "quiet") == 1
        self.index.set_state(study, 1, StudyState.DELIVERING, "")

    def rows(self, name: str = "pacs", study: str = "1.2.3") -> dict[int, DeliveryRow]:
        """Deliveries of a study to a destination, by number."""
        found = self.ledger.deliveries(study, 1, destination=name)
        return {int(row.sop_instance_uid.split(".")[-1]): row for row in found}

    def states(self, name: str = "pacs") -> dict[int, DeliveryState]:
        """Their states."""
        return {number: row.state for number, row in self.rows(name).items()}


def _destination(keys: Mapping[str, Any]) -> Destination:
    """A destination of either kind on loopback."""
    if keys.get("kind") == "dicomweb":
        return DicomwebDestination.model_validate({"timeout_s": 2, "retry": RETRY, **keys})
    plain = {"ae_title": "MAINPACS", "host": "127.0.0.1", "timeout_s": 2, "retry": RETRY}
    return DimseDestination.model_validate({**plain, **keys})


def numbers(stored: list[Any]) -> list[int]:
    """Numbers of the objects a peer has stored, in order of arrival."""
    return [int(ds.SOPInstanceUID.split(".")[-1]) for ds in stored]
