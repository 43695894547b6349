"""What happens to a study, step by step: the one place where DICOM, engines and network meet.

Each step reads files and rows, makes files and rows, and may be killed at any line and run
again: the same inputs give the same UIDs and the same bytes.

    plan       index + rules            → frozen plan
    infer      instances → volume       → result on the source grid       (one run)
    encode     result + source          → DICOM objects, and where they go (one run)
    hand_over  plan, steps, objects     → the study's status as an object; the senders, or the end

What is delivered, and how, is in `node.work.outbox`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import NoReturn

import structlog

from engines.errors import BackendAway, DeviceLost, EngineError, NotApplicable
from engines.pool import Pool
from node.config.load import config_digest
from node.config.model import Config
from node.domain import (
    Plan,
    PlannedRun,
    ResultKind,
    Series,
    StudyState,
)
from node.errors import PermanentError, TransientError
from node.plan.routing import plan_study
from node.plan.volumes import Divide, VolumeCase, as_one
from node.store.acceptance import Acceptance
from node.store.commitment import Commitments
from node.store.delivery import DeliveryRow
from node.store.files import Files, result_folder
from node.store.index import Index, RevisionRow
from node.store.ledger import Ledger, StepRow
from node.work.account import subject_of
from node.work.cases import model_specs
from node.work.clock import StepClock
from node.work.earlier import earlier_runs, without_repeats
from node.work.means import Means
from node.work.product import dump_product
from node.work.reporting import StatusReports
from node.work.settle import DEVICE_LOST, LEFT_OUT, Settlement
from node.work.straight import on_slices, regular_volume
from node.work.urgency import Budgets, deadline, place_in_queue
from node.work.volumes import divide_series
from node.work.writing import Writing

log = structlog.get_logger(__name__)

LOSSES_ALLOWED = 2
"""A run on which the device was lost this often is given up: it must not stop the others."""


@dataclass(frozen=True)
class Equipment:
    """What the steps work with; put together in `node.app`."""

    config: Config
    files: Files
    index: Index
    ledger: Ledger
    commitments: Commitments
    acceptance: Acceptance
    pool: Pool
    clock: Callable[[], datetime]

    @property
    def settlement(self) -> Settlement:
        """What ends revisions, for the steps and for the senders."""
        return Settlement(self.index, self.ledger, self.clock)

    @property
    def writing(self) -> Writing:
        """What writes objects, for the steps and for the senders."""
        return Writing(
            self.config,
            self.files,
            self.index,
            self.ledger,
            self.acceptance,
            self.pool.catalogue,
            self.clock,
        )

    @property
    def status(self) -> StatusReports:
        """What writes the status of studies, for the steps and for the senders."""
        return StatusReports(
            self.config, self.files, self.index, self.ledger, self.acceptance, self.clock
        )

    def replace(self, row: DeliveryRow, reason: str) -> bool:
        """Write the next form of an object that its destination does not take; False: none."""
        what = self.status if row.kind is ResultKind.STATUS else self.writing
        return what.replace(row, reason)

    def means(self, owner: str, chance: Callable[[], float]) -> Means:
        """What the senders of the process `owner` work with."""
        return Means(
            files=self.files,
            ledger=self.ledger,
            commitments=self.commitments,
            settlement=self.settlement,
            clock=self.clock,
            chance=chance,
            owner=owner,
            calling_ae_title=self.config.receive.ae_title,
            replace=self.replace,
        )


class Steps:
    """The steps of the flow; `node.work.workflow` makes them durable.

    Parameters
    ----------
    handed_over
        Called when there is something new to send.
    end_process
        Called with the reason when the device is lost, and does not return: whoever starts the
        process again has the run repeated, once.
    """

    def __init__(
        self,
        equipment: Equipment,
        handed_over: Callable[[], None] = lambda: None,
        end_process: Callable[[str], NoReturn] = sys.exit,
    ) -> None:
        self._config = equipment.config
        self._files = equipment.files
        self._index = equipment.index
        self._ledger = equipment.ledger
        self._pool = equipment.pool
        self._catalogue = equipment.pool.catalogue
        self._clock = equipment.clock
        self._config_digest = config_digest(equipment.config)
        self._settlement = equipment.settlement
        self._writing = equipment.writing
        self._status = equipment.status
        self._budgets = Budgets(equipment.ledger, equipment.clock)
        self._handed_over = handed_over
        self._end_process = end_process
        self._device = Lock()

    def place_in_queue(self, study_instance_uid: str, revision: int) -> int:
        """Say which place a study has in the queue: lower ones are read first."""
        row = self._revision(study_instance_uid, revision)
        plan = row.plan or self._drafted(study_instance_uid, revision)
        return place_in_queue(plan.runs, row.complete_at)

    def plan(self, study_instance_uid: str, revision: int) -> int:
        """Freeze the plan and return how many runs it has; a study nobody wants ends here."""
        with self._timed(study_instance_uid, revision, "plan", "") as step:
            plan = self._drafted(study_instance_uid, revision, self._divide)
            plan, repeats = without_repeats(self._ledger, plan)
            plan = self._index.store_plan(plan)
            sent_again = [
                row
                for run in repeats
                for row in self._ledger.retry_failed(
                    study_instance_uid, run.key, revision, self._clock()
                )
            ]
        if step.problem:
            self.give_up(study_instance_uid, revision, f"plan: {step.problem}")
            return 0
        if not plan.runs and not sent_again:
            if plan.late:
                state = StudyState.LATE
            else:
                state = StudyState.DONE if repeats else StudyState.NOT_ELIGIBLE
            reason = "; ".join(plan.not_run) or "no rule applies to any series"
            self._end(study_instance_uid, revision, state, reason)
        elif plan.runs and self._config.results.announce_studies:
            self._report(study_instance_uid, revision)
            self._handed_over()
        return len(plan.runs)

    def infer(self, study_instance_uid: str, revision: int, run_number: int) -> bool:
        """Run one model on one case and keep its result; False if it cannot be done."""
        run = self._run(study_instance_uid, revision, run_number)
        with self._timed(
            study_instance_uid, revision, "infer", subject_of(run_number, run)
        ) as step:
            self._check_losses(study_instance_uid, revision, subject_of(run_number, run))
            source = self._writing.source(run)
            volumes = [regular_volume(source)]
            complete_at = self._revision(study_instance_uid, revision).complete_at
            try:
                foreseen = self._budgets.foresee(
                    study_instance_uid,
                    revision,
                    step.subject,
                    run,
                    complete_at,
                    self._pool.expected_s(run.model, run.model_version, volumes),
                )
                result, provenance = self._pool.run(
                    run.model,
                    run.model_version,
                    volumes,
                    priority=run.priority,
                    due=deadline(run, complete_at).timestamp(),
                )
            except NotApplicable as error:
                self._leave_out(study_instance_uid, revision, subject_of(run_number, run), error)
                return False
            except DeviceLost as error:
                self._lose_device(study_instance_uid, revision, subject_of(run_number, run), error)
            except BackendAway as error:
                raise TransientError(str(error)) from error
            except EngineError as error:
                raise PermanentError(str(error)) from error
            provenance = replace(provenance, notes=(*provenance.notes, *foreseen))
            self._files.write(
                self._product(study_instance_uid, revision, run_number),
                [dump_product(on_slices(result, source.stack), provenance)],
            )
        return not step.problem

    def encode(self, study_instance_uid: str, revision: int, run_number: int) -> bool:
        """Write one result as DICOM objects and enter them in the ledger; False if it cannot."""
        run = self._run(study_instance_uid, revision, run_number)
        with self._timed(
            study_instance_uid, revision, "encode", subject_of(run_number, run)
        ) as step:
            self._writing.write(study_instance_uid, revision, run_number)
            complete_at = self._revision(study_instance_uid, revision).complete_at
            self._budgets.check(study_instance_uid, revision, step.subject, run, complete_at)
        return not step.problem

    def hand_over(self, study_instance_uid: str, revision: int) -> None:
        """Report, and leave the rest to the senders; what waits for nothing ends here.

        A revision that has ended keeps its state: its status is sent all the same.
        """
        self._report(study_instance_uid, revision)
        self._settlement.hand_over(study_instance_uid, revision)
        self._handed_over()

    def _report(self, study_instance_uid: str, revision: int) -> None:
        """Write what has become of a revision so far as an object for its destinations."""
        with self._timed(study_instance_uid, revision, "report", ""):
            self._status.write(study_instance_uid, revision)

    def _lose_device(
        self, study_instance_uid: str, revision: int, subject: str, error: DeviceLost
    ) -> NoReturn:
        """Count a loss against the run that met it, and end the process: it is of no more use."""
        with self._device:
            before = self._losses(study_instance_uid, revision, subject)
            row = StepRow(f"{DEVICE_LOST} {before + 1}", subject, 0.0, self._clock(), str(error))
            self._ledger.record_step(study_instance_uid, revision, row)
            self._end_process(str(error))

    def _check_losses(self, study_instance_uid: str, revision: int, subject: str) -> None:
        if (losses := self._losses(study_instance_uid, revision, subject)) >= LOSSES_ALLOWED:
            raise PermanentError(f"the device was lost {losses} times while this ran")

    def _losses(self, study_instance_uid: str, revision: int, subject: str) -> int:
        rows = self._ledger.steps(study_instance_uid, revision)
        return sum(row.step.startswith(DEVICE_LOST) and row.subject == subject for row in rows)

    def _leave_out(
        self, study_instance_uid: str, revision: int, subject: str, why: NotApplicable
    ) -> None:
        row = StepRow(LEFT_OUT, subject, 0.0, self._clock(), str(why))
        self._ledger.record_step(study_instance_uid, revision, row)

    def abandon(self, study_instance_uid: str, revision: int, run_number: int, reason: str) -> None:
        """Record that a run was given up, so that the study ends as failed; the others go on."""
        run = self._run(study_instance_uid, revision, run_number)
        row = StepRow("run", subject_of(run_number, run), 0.0, self._clock(), reason)
        self._ledger.record_step(study_instance_uid, revision, row)

    def give_up(self, study_instance_uid: str, revision: int, reason: str) -> None:
        """End a revision that no step can help any more, and say so where results would go."""
        self._end(study_instance_uid, revision, StudyState.FAILED, reason)
        self._report(study_instance_uid, revision)
        self._handed_over()

    def _end(self, study_instance_uid: str, revision: int, state: StudyState, reason: str) -> None:
        self._settlement.end(study_instance_uid, revision, state, reason)

    def _divide(self, series: Series) -> tuple[Sequence[VolumeCase], Sequence[str]]:
        return divide_series(series, self._files.instance)

    def _drafted(self, study_instance_uid: str, revision: int, divide: Divide = as_one) -> Plan:
        return plan_study(
            study_instance_uid,
            revision,
            self._index.study_instances(study_instance_uid),
            self._config.rules,
            model_specs(self._catalogue),
            self._config_digest,
            earlier_runs(self._index, self._ledger, study_instance_uid, revision),
            divide,
        )

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
