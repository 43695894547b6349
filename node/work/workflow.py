"""The durable flow of one study revision, on DBOS; all use of it is in this module.

A workflow that is killed anywhere is run again from its last finished step. Workflow ids
are made from study and revision, so enqueueing one twice enqueues it once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

import structlog
from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID

from node.work.clock import worth_retrying

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Study: TypeAlias = Callable[[str, int], None]

FLOW_VERSION = "schema-1"
"""Changes only when a workflow of the earlier release could not be finished by this one."""
STUDIES = "studies"
EARLIER_DELIVERIES = "deliveries"
"""Queue of 0.1.0, in which every try of every delivery was a workflow of its own."""
POLLING_INTERVAL_S = 0.2
MAX_RECOVERY_ATTEMPTS = 10
"""A study that has taken its process down this often is given up: it must not stop the others."""

RETRY_EVERY_S = 10.0
RETRY_FOR_H = 24
"""A full disk or a lost database may last a night; and soon after it a study must go on."""

_RETRY: dict[str, Any] = {
    "retries_allowed": True,
    "interval_seconds": RETRY_EVERY_S,
    "backoff_rate": 1.0,
    "max_attempts": int(RETRY_FOR_H * 3600 / RETRY_EVERY_S),
    "should_retry": worth_retrying,
}


class FlowSteps(Protocol):
    """What the flow calls; `node.work.steps.Steps` says what each does."""

    def place_in_queue(self, study_instance_uid: str, revision: int) -> int:
        """Return its place, 1 … 2³¹ - 1; lower ones come first."""
        ...

    def plan(self, study_instance_uid: str, revision: int) -> int:
        """Return how many runs there are."""
        ...

    def infer(self, study_instance_uid: str, revision: int, run_number: int) -> bool:
        """Return whether there is a result."""
        ...

    def encode(self, study_instance_uid: str, revision: int, run_number: int) -> bool:
        """Return whether its objects are written."""
        ...

    def hand_over(self, study_instance_uid: str, revision: int) -> None:
        """Leave the delivery to the senders."""
        ...

    def abandon(self, study_instance_uid: str, revision: int, run_number: int, reason: str) -> None:
        """Record that a run was given up."""
        ...

    def give_up(self, study_instance_uid: str, revision: int, reason: str) -> None:
        """End the revision as failed."""
        ...


class Flow:
    """The registered workflows, and the queues they wait in.

    Parameters
    ----------
    steps
        Does the work.
    database_url
        Of the index; the flow keeps its own tables beside it.
    executor_id
        From `this_executor`.
    studies_at_once
        Studies in work at the same time in this process.
    """

    def __init__(
        self, steps: FlowSteps, database_url: str, executor_id: str, studies_at_once: int
    ) -> None:
        self.executor_id = executor_id
        self._studies_at_once = studies_at_once
        config: DBOSConfig = {
            "name": "wetread",
            "system_database_url": database_url,
            "executor_id": self.executor_id,
            # Work of an earlier release must be picked up by the next one.
            "application_version": FLOW_VERSION,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._steps = steps
        self._study = _register(steps)
        self.give_up = steps.give_up
        """Ends a revision that no workflow can help any more."""

    def launch(self) -> None:
        """Start working, first on what an earlier process of this host left unfinished."""
        DBOS.launch()
        DBOS.register_queue(
            STUDIES,
            worker_concurrency=self._studies_at_once,
            polling_interval_sec=POLLING_INTERVAL_S,
            on_conflict="always_update",
        )
        _cancel_earlier_deliveries()

    def enqueue_study(self, study_instance_uid: str, revision: int) -> None:
        """Enqueue a revision; it is enqueued only once however often this is called."""
        workflow_id = f"study/{study_instance_uid}/r{revision}"
        if DBOS.get_workflow_status(workflow_id) is not None:
            return  # its place is a draft of its plan: not for every study at every reconciliation
        place = SetEnqueueOptions(priority=self._place(study_instance_uid, revision))
        with SetWorkflowID(workflow_id), place:
            DBOS.enqueue_workflow(STUDIES, self._study, study_instance_uid, revision)

    def _place(self, study_instance_uid: str, revision: int) -> int:
        try:
            return self._steps.place_in_queue(study_instance_uid, revision)
        except Exception:  # its own step will say what is wrong; it must be enqueued
            log.exception("study.unplaced", study_instance_uid=study_instance_uid)
            return 1

    def take_over(self, executor_id: str) -> int:
        """Enqueue again what a dead work process had in hand; return how many workflows."""
        pending = DBOS.list_workflows(
            status="PENDING", executor_id=executor_id, load_input=False, load_output=False
        )
        if pending:
            DBOS.resume_workflows([status.workflow_id for status in pending])
        return len(pending)

    def poisoned(self) -> list[tuple[str, int]]:
        """Studies and revisions of which a workflow took its process down too often."""
        found = DBOS.list_workflows(status="MAX_RECOVERY_ATTEMPTS_EXCEEDED", load_input=False)
        names = [status.workflow_id.split("/") for status in found]
        return [(name[1], int(name[2][1:])) for name in names]

    def stop(self) -> None:
        """Stop; what is not finished goes on in the next process."""
        DBOS.destroy()


def this_executor() -> str:
    """Name of the work process of this host, the same after a restart."""
    return f"{socket.gethostname()}:work"


def _register(steps: FlowSteps) -> Study:
    @DBOS.workflow(name="delivery")
    def delivery(_study: str, _revision: int, _destination: str, _attempt: int) -> None:
        """Do nothing: a delivery of 0.1.0 that is recovered before it is cancelled."""

    return _study_workflow(steps)


def _cancel_earlier_deliveries() -> None:
    """End the workflows in which 0.1.0 delivered; what they would send waits in the ledger."""
    while earlier := DBOS.list_workflows(
        name="delivery",
        status=["ENQUEUED", "DELAYED", "PENDING"],
        limit=1000,
        load_input=False,
        load_output=False,
    ):
        DBOS.cancel_workflows([status.workflow_id for status in earlier])
    DBOS.delete_queue(EARLIER_DELIVERIES)


def _study_workflow(steps: FlowSteps) -> Study:
    give_up = _durable(steps.give_up)
    plan = _durable(steps.plan)
    infer = _durable(steps.infer)
    encode = _durable(steps.encode)
    abandon = _durable(steps.abandon)
    hand_over = _durable(steps.hand_over)

    def carry_out(study_instance_uid: str, revision: int, run: int) -> None:
        """One run; one that breaks is recorded, and the next one goes on."""
        try:
            if infer(study_instance_uid, revision, run):
                encode(study_instance_uid, revision, run)
        except Exception as error:  # one run must not cost the others
            log.exception("run.failed", study_instance_uid=study_instance_uid, run=run)
            abandon(study_instance_uid, revision, run, f"internal error: {type(error).__name__}")

    @DBOS.workflow(name="study", max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
    def study(study_instance_uid: str, revision: int) -> None:
        """One revision, from its plan to the hand-over to its destinations."""
        try:
            for run in range(plan(study_instance_uid, revision)):
                carry_out(study_instance_uid, revision, run)
            hand_over(study_instance_uid, revision)
        except Exception as error:  # a study always ends in a state that is shown
            log.exception("study.failed", study_instance_uid=study_instance_uid)
            give_up(study_instance_uid, revision, f"internal error: {type(error).__name__}")

    return study


def _durable(method: Callable[P, R]) -> Callable[P, R]:
    """Make a DBOS step of a bound method, which DBOS cannot decorate itself."""

    @DBOS.step(name=method.__name__, **_RETRY)
    def step(*args: P.args, **kwargs: P.kwargs) -> R:
        """Call the method."""
        return method(*args, **kwargs)

    return step
