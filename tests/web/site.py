"""A browser without a socket, and a past to look at."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from node.domain import (
    Artifact,
    DeliveryState,
    Instance,
    Outcome,
    Plan,
    PlannedRun,
    ResultKind,
    StudyState,
)
from node.store.ledger import StepRow
from node.store.standing import Arrival

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def after(seconds):
    return NOON + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Answer:
    """What a browser gets."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self):
        return json.loads(self.text)


class Browser:
    """Asks an ASGI application, without a socket."""

    def __init__(self, app):
        self._app = app

    def get(self, path, method="GET"):
        return asyncio.run(self._request(method, path))

    async def _request(self, method, path):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"node.test")],
            "client": ("127.0.0.1", 1),
            "server": ("node.test", 80),
        }
        await self._app(scope, receive, send)
        start, *bodies = sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(b["body"] for b in bodies).decode())


class Past:
    """Things that happened to studies, written as the roles write them."""

    def __init__(self, index, ledger, quarantine):
        self.index = index
        self.ledger = ledger
        self.quarantine = quarantine

    def received(self, study="1.2.3", *, series="1.2.3.1", instances=1, at=NOON):
        for number in range(instances):
            sop = f"{series}.{number}"
            self.index.record_instance(
                Instance(study, series, sop, "1.2", "1.2.1", "d" * 64, sop, 100, at, "CT1")
            )

    def received_of_another_patient(self, study="1.2.3", *, instances=2, at=NOON):
        others = [(number, "another") for number in range(1, instances + 1)]
        self.index.record_instances(
            [
                Arrival(
                    Instance(
                        study,
                        f"{study}.8",
                        f"{study}.8.{number}",
                        "1.2",
                        "1.2.1",
                        "d" * 64,
                        f"{number}",
                        100,
                        at,
                        "CT2",
                    ),
                    patient=patient,
                )
                for number, patient in [(0, "one"), *others]
            ]
        )

    def returned(self, sop, study="1.2.3", *, at):
        own = Instance(study, "1.9", sop, "1.2", "1.2.1", "d" * 64, "", 100, at, "PACS")
        self.index.record_instances([Arrival(own, own_result=True)])

    def completed(self, study="1.2.3", *, at=NOON, reason="quiet for 60 s"):
        return self.index.complete_study(self.index.study(study), at, reason)

    def ended(self, state, reason="", study="1.2.3", revision=1, at=NOON):
        self.index.set_state(study, revision, state, reason, at)

    def planned(self, study="1.2.3", revision=1, *, not_run=(), **of_the_run):
        case = tuple(f"{study}.1.{number}" for number in range(3))
        run = PlannedRun(
            "chest ct",
            "ct-lungs",
            "1.0.0",
            "m" * 64,
            f"{study}.1",
            case,
            ("d",) * 3,
            "i",
            ("pacs",),
            **of_the_run,
        )
        self.index.store_plan(Plan(study, revision, "c0ffee" * 10, (run,), tuple(not_run)))

    def step(self, step, seconds, problem="", study="1.2.3", revision=1, at=NOON):
        self.ledger.record_step(study, revision, StepRow(step, "ct-lungs", seconds, at, problem))

    def made(self, *sops, study="1.2.3", revision=1, destinations=("pacs",)):
        kinds = (ResultKind.SEG, ResultKind.SR, ResultKind.SC)
        self.ledger.record_artifacts(
            [
                Artifact(
                    sop, "1.9", "1.8", study, revision, kind, "ct-lungs", sop, "a", destinations
                )
                for sop, kind in zip(sops, kinds, strict=False)
            ],
            "run",
            NOON,
        )

    def sent(self, sop, state, status, reason="", destination="pacs"):
        self.ledger.record_outcome(sop, destination, Outcome(state, status, reason), NOON)

    def away(self, reason, destination="pacs"):
        self.ledger.outbox.open([destination])
        self.ledger.outbox.note_failure(destination, 1, reason, NOON, after(5))

    def one_study_of_each_fate(self):
        """A finished study with two revisions, one that failed, one not wanted, one arriving."""
        self.received(instances=3)
        self.completed()
        self.planned(not_run=["rule chest x-ray: Modality is CT, not DX"])
        self.step("plan", 0.02)
        self.step("infer", 12.3456, at=after(12))
        self.made("1.9.1", "1.9.2")
        self.sent("1.9.1", DeliveryState.DELIVERED, 0x0000)
        self.sent("1.9.2", DeliveryState.WAITING, 0xA700, "out of resources")
        self.sent("1.9.2", DeliveryState.DELIVERED, 0xB000, "coercion of data elements")
        self.ended(StudyState.DONE, at=after(20))
        self.returned("1.9.1", at=after(30))
        self.received("1.2.4", series="1.2.4.1", at=after(60))
        self.completed("1.2.4", at=after(120))
        self.ended(StudyState.FAILED, "slice gaps run from 1.000 to 5.000 mm", "1.2.4")
        self.received("1.2.5", series="1.2.5.1", at=after(70))
        self.completed("1.2.5", at=after(130))
        self.ended(StudyState.NOT_ELIGIBLE, "no rule matches", "1.2.5")
        self.received("1.2.6", series="1.2.6.1", instances=2, at=after(80))
