"""What happens to reports: read, joined to their study, held against the models, passed on.

Nothing is kept here: each step finds in the index what is to be done, does it, and records it.
It may be killed at any line and run again; the same report gives the same objects, to the byte.

    look at   studies whose results are written   → what reports can be joined by
    read      text of a report                    → findings
    join      report × study                      → by Study Instance UID or accession number
    compare   report × results                    → discordances, DICOM objects
    notify    new discordances                    → a web address
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from threading import Event, Thread

import structlog

from node.errors import PermanentError
from node.metrics import STEP_SECONDS
from node.reports import ReportState
from node.store.files import Files
from node.store.readings import Readings
from node.store.report_rows import ReadingRow, ReportRow
from node.store.reports import Reports
from node.work.clock import why_waiting, worth_retrying
from node.work.comparing import Comparing
from node.work.drifting import DriftWatch
from node.work.notifying import Notifier
from node.work.report_reading import read_report
from node.work.report_studies import ReportStudies

log = structlog.get_logger(__name__)

PAGE = 50
"""So many of each kind are done before the next kind has its turn."""
LOOK_EVERY_S = 1.0
WAIT_AFTER_TROUBLE_S = 10.0
TRIES = 5
"""What has taken its process down so often is given up: it must not stop the others."""
_GIVEN_UP = "it ended the work process again and again; see the log"


class ReportDesk:
    """Works off what is to be done with reports, in a thread of its own.

    Parameters
    ----------
    notifier
        None: nobody is told.
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self,
        files: Files,
        reports: Reports,
        readings: Readings,
        studies: ReportStudies,
        comparing: Comparing,
        notifier: Notifier | None,
        watch: DriftWatch,
        clock: Callable[[], datetime],
    ) -> None:
        self._files = files
        self._reports = reports
        self._readings = readings
        self._studies = studies
        self._comparing = comparing
        self._notifier = notifier
        self._watch = watch
        self._clock = clock
        self._stop = Event()
        self._thread = Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Begin; what an earlier process left unfinished is found like what is new."""
        self._thread.start()

    def stop(self) -> None:
        """Let the report in hand be the last one."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            try:
                wait_s = 0.0 if self.work_off() else LOOK_EVERY_S
            except Exception as error:  # a database that is away now must find the desk later
                if worth_retrying(error):
                    log.warning("reports.wait", reason=why_waiting(error))
                else:
                    log.exception("reports.failed")
                wait_s = WAIT_AFTER_TROUBLE_S

    def work_off(self) -> int:
        """Do what is to be done now, a page of each kind; return how much that was."""
        done = self._look_at_studies()
        done += self._read()
        done += self._join()
        done += self._compare()
        if self._notifier is not None:
            self._notifier.notify(self._clock())
        self._watch.look(time.monotonic())
        return done

    def _look_at_studies(self) -> int:
        found = self._readings.new(PAGE)
        for study_instance_uid, revision in found:
            if self._stop.is_set():
                break
            self._look_at_one(study_instance_uid, revision)
        return len(found)

    def _look_at_one(self, study_instance_uid: str, revision: int) -> None:
        try:
            self._studies.look_at(study_instance_uid, revision, self._clock())
        except Exception as error:  # one report must not stop those behind it
            if worth_retrying(error):
                raise
            problem = _problem(error, "look at study")
            log.warning(
                "reports.not_compared", study_instance_uid=study_instance_uid, reason=problem
            )
            # Seen all the same: it must not stop the studies behind it.
            row = ReadingRow(study_instance_uid, revision, "", "", "", "")
            self._readings.look_at(row)
            self._readings.finish(row, "", problem)

    def _read(self) -> int:
        rows = self._reports.to_read(PAGE)
        for row in rows:
            if self._stop.is_set():
                break
            read = partial(read_report, self._files, self._reports, row, row.modality)
            self._try(row, "read report", read)
        return len(rows)

    def _join(self) -> int:
        matches = self._reports.matches(PAGE)
        for row, studies in matches:
            if self._stop.is_set():
                break
            self._try(row, "join report", partial(self._join_one, row, studies))
        return len(matches)

    def _join_one(self, row: ReportRow, studies: list[str]) -> None:
        fitting = [self._readings.get(study) for study in studies]
        rows = [each for each in fitting if each is not None]
        own = [each for each in rows if _is_of_its_patient(row, each)]
        if row.released:
            own = own or rows
        if len(own) > 1:
            self._reports.explain(
                row, f"{len(own)} studies have its accession number: it says which by none"
            )
        elif not own:
            self._reports.set_state(
                row, ReportState.QUARANTINED, "its study is of another patient (PID-3, PatientID)"
            )
            log.warning("report.quarantined", report=row.report_key[:12], revision=row.revision)
        else:
            (study,) = own
            if not row.modality and study.modality:
                # Abbreviations mean something else on another modality.
                read_report(self._files, self._reports, row, study.modality)
            self._reports.join(row, study.study_instance_uid)
            log.info(
                "report.joined",
                report=row.report_key[:12],
                revision=row.revision,
                study_instance_uid=study.study_instance_uid,
            )

    def _compare(self) -> int:
        due = self._readings.due(PAGE)
        for row, tries in due:
            if self._stop.is_set():
                break
            self._compare_one(row, tries)
        return len(due)

    def _compare_one(self, row: ReadingRow, tries: int) -> None:
        if tries >= TRIES:
            self._readings.finish(row, row.compared, _GIVEN_UP)
            return
        self._readings.begin(row, tries)
        began = time.perf_counter()
        try:
            compared = self._comparing.compare(row, self._clock())
        except Exception as error:  # one report must not stop those behind it
            if worth_retrying(error):
                raise
            problem = _problem(error, "compare reports")
            log.warning(
                "reports.not_compared", study_instance_uid=row.study_instance_uid, reason=problem
            )
            self._readings.finish(row, row.compared, problem)
            return
        STEP_SECONDS.labels(step="compare reports").observe(time.perf_counter() - began)
        self._readings.finish(row, compared)

    def _try(self, row: ReportRow, step: str, action: Callable[[], None]) -> None:
        """One try of one step of one report: what will fail again ends in its reason."""
        if self._reports.begin(row) > TRIES:
            self._fail(row, _GIVEN_UP)
            return
        began = time.perf_counter()
        try:
            action()
        except Exception as error:  # one report must not stop those behind it
            if worth_retrying(error):
                raise
            self._fail(row, _problem(error, step))
        else:
            STEP_SECONDS.labels(step=step).observe(time.perf_counter() - began)

    def _fail(self, row: ReportRow, problem: str) -> None:
        self._reports.set_state(row, ReportState.FAILED, problem)
        log.warning(
            "report.failed", report=row.report_key[:12], revision=row.revision, reason=problem
        )


def _problem(error: Exception, step: str) -> str:
    if isinstance(error, PermanentError):
        return str(error)
    # The message of an unforeseen error may quote the report: only its type is shown.
    log.error("step.broke", step=step, exc_info=error)
    return f"internal error: {type(error).__name__}"


def _is_of_its_patient(row: ReportRow, study: ReadingRow) -> bool:
    """Whether report and study name the same patient, or one of them names none."""
    return not row.patients or not study.patient or study.patient in row.patients
