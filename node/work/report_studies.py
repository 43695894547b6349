"""A study as reports see it: what it can be joined by, and the reports that it holds itself."""

from __future__ import annotations

from datetime import datetime

import structlog
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.domain import Instance, Standing
from node.encode.document import Reference
from node.encode.text import text_value
from node.errors import PermanentError, ReportError
from node.metrics import REPORTS_RECEIVED
from node.plan.images import why_no_image
from node.report.dicom import DOCUMENTS, read_dicom_report
from node.reports import ReportWay
from node.store.files import Files
from node.store.header import patient_digest
from node.store.index import Index
from node.store.readings import Readings
from node.store.report_keeping import keep_documents, log_received
from node.store.report_rows import ReadingRow, accession_digest
from node.store.reports import Reports

log = structlog.get_logger(__name__)

MOST_REFERENCES = 5000
"""Of a document to the instances of its study."""


class ReportStudies:
    """Reads of received studies what reports need."""

    def __init__(self, files: Files, index: Index, reports: Reports, readings: Readings) -> None:
        self._files = files
        self._index = index
        self._reports = reports
        self._readings = readings

    def look_at(self, study_instance_uid: str, revision: int, now: datetime) -> None:
        """Take in the reports that a revision holds, then record what others join it by."""
        used = self._used(study_instance_uid)
        for instance in used:
            if instance.sop_class_uid in DOCUMENTS:
                self._take_in(instance, now)
        row = ReadingRow(study_instance_uid, revision, "", "", "", "")
        if used:
            header = self._header(used[0])
            images = [one for one in used if why_no_image(one) is None]
            attributes = images[0].attributes if images else {}
            row = ReadingRow(
                study_instance_uid,
                revision,
                accession=accession_digest(text_value(header, "AccessionNumber")),
                patient=patient_digest(text_value(header, "PatientID"), ""),
                modality=str(attributes.get("Modality", ""))[:16],
                body_part=str(attributes.get("BodyPartExamined", ""))[:64],
            )
        self._readings.look_at(row)

    def header(self, study_instance_uid: str) -> Dataset:
        """Header of an instance of the study, for patient and study of what is written.

        Raises
        ------
        PermanentError
            If nothing of the study is used.
        """
        used = self._used(study_instance_uid)
        if not used:
            raise PermanentError("nothing of the study is used")
        return self._header(used[0])

    def references(self, study_instance_uid: str) -> dict[str, Reference]:
        """What is used of a study, by SOP Instance UID, in the order of its UIDs."""
        used = sorted(self._used(study_instance_uid), key=lambda one: one.sop_instance_uid)
        return {
            one.sop_instance_uid: Reference(
                one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid
            )
            for one in used[:MOST_REFERENCES]
        }

    def _used(self, study_instance_uid: str) -> list[Instance]:
        found = self._index.study_instances(study_instance_uid)
        return [one for one in found if one.standing is Standing.USED]

    def _header(self, instance: Instance) -> Dataset:
        return dcmread(self._files.instance(instance.digest), stop_before_pixels=True)

    def _take_in(self, instance: Instance, now: datetime) -> None:
        """Keep the text of a document of the study, once; one that cannot be read is said so."""
        if self._reports.has_source(instance.sop_instance_uid):
            return
        try:
            document = read_dicom_report(
                self._files.instance(instance.digest), instance.calling_ae_title
            )
        except ReportError as error:
            log.warning(
                "document.not_read", sop_instance_uid=instance.sop_instance_uid, reason=str(error)
            )
            REPORTS_RECEIVED.labels(way=ReportWay.DICOM, outcome="not read").inc()
            return
        if document is not None:
            taken = keep_documents(self._files, self._reports, [document], now)
            log_received([document], taken)
            REPORTS_RECEIVED.labels(way=ReportWay.DICOM, outcome="kept").inc()
