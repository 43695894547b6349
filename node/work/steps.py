"""What happens to a study, step by step: the one place where DICOM, engines and network meet.

Each step reads files and rows, makes files and rows, and may be killed at any line and run
again: the same inputs give the same UIDs and the same bytes.

    plan       index + rules            → frozen plan
    infer      instances → volume       → result on the source grid       (one run)
    encode     result + source          → DICOM objects, and where they go (one run)
    hand_over                           → the destinations that have something to get
    deliver    objects                  → one destination
    settle     deliveries               → the study's final state
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import structlog

from engines.errors import EngineError, NotApplicable
from engines.package import Package
from engines.pool import Pool
from engines.types import Result
from node.config.load import config_digest
from node.config.model import Config, Destination
from node.deliver.scu import send
from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.domain import (
    Artifact,
    DeliveryState,
    Outcome,
    Plan,
    PlannedRun,
    ResultContext,
    ResultKind,
    Source,
    StudyState,
)
from node.encode.base import encode
from node.errors import PermanentError, TransientError
from node.metrics import OBJECTS_SENT
from node.plan.routing import plan_study
from node.store.files import Files, instance_path, result_folder
from node.store.index import Index, RevisionRow
from node.store.ledger import DeliveryRow, Ledger, StepRow
from node.work.cases import model_spec, model_specs, result_context
from node.work.clock import StepClock
from node.work.product import dump_product, load_product

log = structlog.get_logger(__name__)

LEFT_OUT = "gate"
"""Step of a run that its package's gate has refused: a decision, not a failure."""
PROFILE_KINDS: Mapping[str, tuple[ResultKind, ...]] = {
    "full": tuple(ResultKind),
    "plain": (ResultKind.SC,),
}


@dataclass(frozen=True)
class Equipment:
    """What the steps work with; put together in `node.app`."""

    config: Config
    files: Files
    index: Index
    ledger: Ledger
    pool: Pool
    clock: Callable[[], datetime]


class Steps:
    """The steps of the flow; `node.work.workflow` makes them durable."""

    def __init__(self, equipment: Equipment) -> None:
        self._config = equipment.config
        self._files = equipment.files
        self._index = equipment.index
        self._ledger = equipment.ledger
        self._pool = equipment.pool
        self._catalogue = equipment.pool.catalogue
        self._clock = equipment.clock
        self._config_digest = config_digest(equipment.config)

    def plan(self, study_instance_uid: str, revision: int) -> int:
        """Freeze the plan and return how many runs it has; a study nobody wants ends here."""
        with self._timed(study_instance_uid, revision, "plan", "") as step:
            plan = plan_study(
                study_instance_uid,
                revision,
                self._index.study_instances(study_instance_uid),
                self._config.rules,
                model_specs(self._catalogue),
                self._config_digest,
            )
            plan, repeats = self._without_repeats(plan)
            plan = self._index.store_plan(plan)
            sent_again = [
                row
                for run in repeats
                for row in self._retry_failed(run, study_instance_uid, revision)
            ]
        if step.problem:
            self.give_up(study_instance_uid, revision, f"plan: {step.problem}")
            return 0
        if not plan.runs and not sent_again:
            state = StudyState.DONE if repeats else StudyState.NOT_ELIGIBLE
            reason = "; ".join(plan.not_run) or "no rule applies to any series"
            self._end(study_instance_uid, revision, state, reason)
        return len(plan.runs)

    def infer(self, study_instance_uid: str, revision: int, run_number: int) -> bool:
        """Run one model on one case and keep its result; False if it cannot be done."""
        run = self._run(study_instance_uid, revision, run_number)
        with self._timed(study_instance_uid, revision, "infer", _subject(run_number, run)) as step:
            source = self._read(run)
            try:
                result, provenance = self._pool.run(run.model, run.model_version, [source.volume])
            except NotApplicable as error:
                self._leave_out(study_instance_uid, revision, _subject(run_number, run), error)
                return False
            except EngineError as error:
                raise PermanentError(str(error)) from error
            self._files.write(
                self._product(study_instance_uid, revision, run_number),
                [dump_product(result, provenance)],
            )
        return not step.problem

    def encode(self, study_instance_uid: str, revision: int, run_number: int) -> bool:
        """Write one result as DICOM objects and enter them in the ledger; False if it cannot."""
        run = self._run(study_instance_uid, revision, run_number)
        with self._timed(study_instance_uid, revision, "encode", _subject(run_number, run)) as step:
            product = self._product(study_instance_uid, revision, run_number)
            result, provenance = load_product(self._files.path(product))
            context = result_context(
                self._config,
                self._package(run),
                self._revision(study_instance_uid, revision),
                run,
                run_number,
                provenance,
            )
            artifacts = self._write_objects(result, self._read(run), context, run, run_number)
            self._ledger.record_artifacts(artifacts, run.key, self._clock())
        return not step.problem

    def hand_over(self, study_instance_uid: str, revision: int) -> list[str]:
        """Name the destinations that have something to get; without any the revision ends."""
        waiting = self._ledger.deliveries(study_instance_uid, revision, state=DeliveryState.WAITING)
        if waiting:
            self._index.set_state(study_instance_uid, revision, StudyState.DELIVERING, "")
        else:
            self.settle(study_instance_uid, revision)
        return sorted({row.destination for row in waiting})

    def deliver(
        self, study_instance_uid: str, revision: int, destination: str, attempt: int
    ) -> float | None:
        """Send what still waits for a destination.

        Returns
        -------
        float or None
            Seconds to wait before the next try, or None if nothing waits any more.
        """
        rows = self._waiting(study_instance_uid, revision, destination)
        if not rows:
            return None
        subject = destination if attempt == 1 else f"{destination} (try {attempt})"
        configured = self._config.destinations.get(destination)
        if configured is None:
            self._fail(rows, f"the configuration has no destination {destination!r} any more")
            return None
        with self._timed(study_instance_uid, revision, "deliver", subject) as step:
            problem = self._send(rows, configured, destination)
            rows = self._waiting(study_instance_uid, revision, destination)
            step.problem = problem or "; ".join(sorted({row.reason for row in rows}))
        if not rows:
            return None
        retry = configured.retry
        if self._clock() - rows[0].created_at > timedelta(hours=retry.give_up_after_h):
            hours = f"{retry.give_up_after_h:g} h"
            self._fail(rows, f"gave up after {attempt} tries in {hours}: {step.problem}")
            return None
        return min(retry.first_s * 2.0 ** min(attempt - 1, 30), retry.longest_s)

    def settle(self, study_instance_uid: str, revision: int) -> None:
        """Give the revision its final state once no delivery waits."""
        if self._revision(study_instance_uid, revision).finished_at is not None:
            return
        deliveries = self._ledger.deliveries(study_instance_uid, revision)
        if any(row.state is DeliveryState.WAITING for row in deliveries):
            return
        steps = self._ledger.steps(study_instance_uid, revision)
        left_out = [f"left out {s.subject}: {s.problem}" for s in steps if s.step == LEFT_OUT]
        problems = [
            f"{row.step} {row.subject}: {row.problem}"
            for row in steps
            if row.problem and row.step not in ("deliver", LEFT_OUT)
        ] + [
            f"{row.kind} of {row.model} to {row.destination}: {row.reason}"
            for row in deliveries
            if row.state is DeliveryState.FAILED
        ]
        if problems:
            state = StudyState.FAILED
        elif left_out and not deliveries:
            state = StudyState.NOT_ELIGIBLE
        else:
            state = StudyState.DONE
        self._end(study_instance_uid, revision, state, "; ".join([*problems, *left_out]))

    def _leave_out(
        self, study_instance_uid: str, revision: int, subject: str, why: NotApplicable
    ) -> None:
        row = StepRow(LEFT_OUT, subject, 0.0, self._clock(), str(why))
        self._ledger.record_step(study_instance_uid, revision, row)

    def abandon(self, study_instance_uid: str, revision: int, run_number: int, reason: str) -> None:
        """Record that a run was given up, so that the study ends as failed; the others go on."""
        run = self._run(study_instance_uid, revision, run_number)
        row = StepRow("run", _subject(run_number, run), 0.0, self._clock(), reason)
        self._ledger.record_step(study_instance_uid, revision, row)

    def give_up(self, study_instance_uid: str, revision: int, reason: str) -> None:
        """End a revision that no step can help any more."""
        self._end(study_instance_uid, revision, StudyState.FAILED, reason)

    def _end(self, study_instance_uid: str, revision: int, state: StudyState, reason: str) -> None:
        self._index.set_state(study_instance_uid, revision, state, reason, self._clock())
        log.info(
            "study.settled",
            study_instance_uid=study_instance_uid,
            revision=revision,
            state=str(state),
            reason=reason,
        )

    def _without_repeats(self, plan: Plan) -> tuple[Plan, list[PlannedRun]]:
        """Take out the runs whose objects an earlier revision has already made."""
        runs, repeats, not_run = [], [], list(plan.not_run)
        for run in plan.runs:
            made_in = self._ledger.revision_that_made(plan.study_instance_uid, run.key)
            if made_in is None or made_in == plan.revision:
                runs.append(run)
                continue
            repeats.append(run)
            not_run.append(
                f"{run.model} on series {run.series_instance_uid}: nothing new since "
                f"revision {made_in}, whose results hold"
            )
        return replace(plan, runs=tuple(runs), not_run=tuple(not_run)), repeats

    def _retry_failed(
        self, run: PlannedRun, study_instance_uid: str, revision: int
    ) -> list[DeliveryRow]:
        return self._ledger.retry_failed(study_instance_uid, run.key, revision, self._clock())

    def _read(self, run: PlannedRun) -> Source:
        paths = [self._files.path(instance_path(digest)) for digest in run.instance_digests]
        if model_spec(self._package(run)).per_image:
            return read_image(paths[0])
        return read_series(paths)

    def _write_objects(
        self,
        result: Result,
        source: Source,
        context: ResultContext,
        run: PlannedRun,
        run_number: int,
    ) -> list[Artifact]:
        artifacts = []
        folder = result_folder(context.study_instance_uid, context.revision, run_number)
        for number, encoded in enumerate(encode(result, source, context)):
            stream = BytesIO()
            encoded.dataset.save_as(stream, enforce_file_format=True)
            content = stream.getvalue()
            path = f"{folder}/{number}-{encoded.kind.lower()}.dcm"
            self._files.write(path, [content])
            artifacts.append(
                Artifact(
                    sop_instance_uid=str(encoded.dataset.SOPInstanceUID),
                    sop_class_uid=str(encoded.dataset.SOPClassUID),
                    series_instance_uid=str(encoded.dataset.SeriesInstanceUID),
                    study_instance_uid=context.study_instance_uid,
                    revision=context.revision,
                    kind=encoded.kind,
                    model=f"{run.model}@{run.model_version}",
                    path=path,
                    sha256=hashlib.sha256(content).hexdigest(),
                    destinations=self._takers(encoded.kind, run.destinations),
                )
            )
        return artifacts

    def _takers(self, kind: ResultKind, destinations: Sequence[str]) -> tuple[str, ...]:
        known = self._config.destinations
        # One that has gone since the plan was made stays: `deliver` says why it gets nothing.
        return tuple(
            name
            for name in destinations
            if name not in known or kind in PROFILE_KINDS[known[name].profile]
        )

    def _send(self, rows: Sequence[DeliveryRow], destination: Destination, name: str) -> str:
        """Send and record each outcome; return why the association failed, or nothing."""
        by_path = {self._files.path(row.path): row for row in rows}

        def report(path: Path, outcome: Outcome) -> None:
            """Record what became of one file as soon as the destination has answered."""
            row = by_path[path]
            self._ledger.record_outcome(row.sop_instance_uid, name, outcome, self._clock())
            OBJECTS_SENT.labels(destination=name, outcome=str(outcome.state)).inc()
            log.info(
                "object.sent",
                sop_instance_uid=row.sop_instance_uid,
                kind=str(row.kind),
                destination=name,
                outcome=str(outcome.state),
                reason=outcome.reason,
            )

        try:
            send(list(by_path), destination, self._config.receive.ae_title, report)
        except TransientError as error:
            log.warning("delivery.interrupted", destination=name, reason=str(error))
            return str(error)
        return ""

    def _waiting(self, study: str, revision: int, destination: str) -> list[DeliveryRow]:
        return self._ledger.deliveries(
            study, revision, destination=destination, state=DeliveryState.WAITING
        )

    def _fail(self, rows: Sequence[DeliveryRow], reason: str) -> None:
        for row in rows:
            self._ledger.record_outcome(
                row.sop_instance_uid,
                row.destination,
                Outcome(DeliveryState.FAILED, row.status, reason),
                self._clock(),
            )

    def _package(self, run: PlannedRun) -> Package:
        try:
            package = self._catalogue.get(run.model, run.model_version)
        except EngineError as error:
            raise PermanentError(str(error)) from error
        if package.digest != run.model_digest:
            raise PermanentError(
                f"{run.model} {run.model_version} has changed since the plan was made: digest "
                f"{package.digest[:12]}, planned {run.model_digest[:12]}; give a changed package "
                "a new version"
            )
        return package

    def _revision(self, study_instance_uid: str, revision: int) -> RevisionRow:
        row = self._index.revision(study_instance_uid, revision)
        if row is None:
            raise PermanentError(f"the index has no revision {revision} of {study_instance_uid}")
        return row

    def _run(self, study_instance_uid: str, revision: int, run_number: int) -> PlannedRun:
        plan = self._revision(study_instance_uid, revision).plan
        if plan is None:
            raise PermanentError(f"revision {revision} of {study_instance_uid} has no plan")
        return plan.runs[run_number]

    def _product(self, study_instance_uid: str, revision: int, run_number: int) -> str:
        return f"{result_folder(study_instance_uid, revision, run_number)}/result.npz"

    def _timed(self, study: str, revision: int, step: str, subject: str) -> StepClock:
        return StepClock(self._ledger, self._clock, study, revision, step, subject)


def _subject(run_number: int, run: PlannedRun) -> str:
    return f"{run_number}: {run.model}@{run.model_version}"
