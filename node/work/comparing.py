"""Everything that is known of one study, report and models, brought together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from io import BytesIO

import structlog
from pydicom.dataset import Dataset

from engines.catalogue import Catalogue
from engines.errors import EngineError
from engines.types import Code
from nlp.concepts import concepts
from node.config.model import Config
from node.config.reports import FindingThreshold
from node.domain import Artifact, PlannedRun, ResultKind, digest_of
from node.encode.discordance import SERIES_NUMBER as DISCORDANCE_SERIES
from node.encode.discordance import (
    Contradiction,
    DiscordanceAccount,
    discordance_uids,
    write_discordances,
)
from node.encode.document import Author, Reference
from node.encode.findings import SERIES_NUMBER as FINDINGS_SERIES
from node.encode.findings import ReportAccount, findings_uids, write_findings
from node.plan.agreement import ModelSays, compare
from node.reports import DiscordanceState
from node.store.discordances import ComparisonRow, DiscordanceRow, Discordances
from node.store.files import Files, report_folder, result_folder
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.report_rows import ReadingRow, ReportRow
from node.store.reports import Reports
from node.work.answers import answers
from node.work.product import load_product
from node.work.report_reading import extract, says
from node.work.report_studies import ReportStudies

log = structlog.get_logger(__name__)


class Comparing:
    """Compares studies, and writes what goes to the destinations.

    Parameters
    ----------
    author
        Series number → this installation, as its documents name it.
    written
        Called when there is something new to send.
    """

    def __init__(
        self,
        config: Config,
        files: Files,
        index: Index,
        ledger: Ledger,
        reports: Reports,
        discordances: Discordances,
        studies: ReportStudies,
        catalogue: Catalogue,
        author: Callable[[int], Author],
        written: Callable[[], None],
    ) -> None:
        assert config.reports is not None  # noqa: S101 - made only where reports are read
        self._section = config.reports
        self._thresholds = {rule.name: rule.findings for rule in config.rules}
        self._files = files
        self._index = index
        self._ledger = ledger
        self._reports = reports
        self._discordances = discordances
        self._studies = studies
        self._catalogue = catalogue
        self._author = author
        self._written = written

    def compare(self, study: ReadingRow, now: datetime) -> str:
        """Hold the reports of a study against its models' results; return a digest of it all."""
        uid = study.study_instance_uid
        reports = self._reports.of_study(uid)
        found = compare(
            [says(self._files, row) for row in reports], list(self._answers(uid) if reports else ())
        )
        rows = [ComparisonRow(**{**vars(one), "outcome": one.outcome.value}) for one in found]
        opened, resolved = self._discordances.record(uid, rows, now)
        if opened or resolved:
            log.warning(
                "discordance.changed", study_instance_uid=uid, opened=opened, resolved=resolved
            )
        made = [*self._findings(study, reports), *self._contradictions(study)]
        if made:
            self._ledger.record_artifacts(made, digest_of("report", uid), now)
            self._written()
        return digest_of(*(f"{row.report_key}:{row.revision}" for row in reports))

    def _answers(self, study_instance_uid: str) -> Iterator[ModelSays]:
        """What the models say: of each case the newest result."""
        newest: dict[tuple[str, str, tuple[str, ...]], tuple[int, int, PlannedRun]] = {}
        for revision in self._index.revisions(study_instance_uid):
            runs = () if revision.plan is None else revision.plan.runs
            for number, run in enumerate(runs):
                case = (run.model, run.series_instance_uid, run.sop_instance_uids)
                product = f"{result_folder(study_instance_uid, revision.revision, number)}"
                if self._files.path(f"{product}/result.npz").exists():
                    newest[case] = (revision.revision, number, run)
        for revision_number, number, run in newest.values():
            yield from self._answers_of(study_instance_uid, revision_number, number, run)

    def _answers_of(
        self, study_instance_uid: str, revision: int, number: int, run: PlannedRun
    ) -> Iterator[ModelSays]:
        try:
            manifest = self._catalogue.get(run.model, run.model_version).manifest
        except EngineError:
            return  # a package that has gone: nobody knows any more what its labels mean
        if not manifest.findings:
            return
        product = f"{result_folder(study_instance_uid, revision, number)}/result.npz"
        result, _ = load_product(self._files.path(product))
        thresholds: Mapping[str, FindingThreshold] = self._thresholds.get(run.rule, {})
        model = f"{run.model}@{run.model_version}"
        yield from answers(result, manifest.findings, thresholds, model, run.key)

    def _findings(self, study: ReadingRow, reports: list[ReportRow]) -> Iterator[Artifact]:
        """The object of each report that has none yet."""
        if not self._section.send_findings_to:
            return
        uid = study.study_instance_uid
        inputs = self._studies.references(uid)
        for row in reports:
            digest = _digest(row)
            reference = findings_uids(uid, row.report_key, digest)
            if self._ledger.is_own_result(reference.sop_instance_uid):
                continue
            account = ReportAccount(
                study_instance_uid=uid,
                report_key=row.report_key,
                revision=row.revision,
                status=row.status.value,
                digest=digest,
                received_at=row.received_at,
                found=extract(self._files, row, row.modality),
                inputs=tuple(inputs.values()),
                source=inputs.get(row.source_uid),
                predecessor=self._earlier(uid, row),
            )
            dataset = write_findings(
                account, self._studies.header(uid), self._author(FINDINGS_SERIES)
            )
            yield self._artifact(dataset, study, "report-findings", self._section.send_findings_to)

    def _earlier(self, study_instance_uid: str, row: ReportRow) -> Reference | None:
        """The object of the last revision before this one that was written."""
        before = [
            each
            for each in self._reports.find(row.report_key)
            if each.revision < row.revision and each.findings_path
        ]
        for each in sorted(before, key=lambda one: -one.revision):
            reference = findings_uids(study_instance_uid, each.report_key, _digest(each))
            if self._ledger.is_own_result(reference.sop_instance_uid):
                return reference
        return None

    def _contradictions(self, study: ReadingRow) -> Iterator[Artifact]:
        """The object that says how the discordances of the study stand, where there are any."""
        uid = study.study_instance_uid
        rows = self._discordances.of_study(uid)
        if not self._section.send_discordances_to or not rows:
            return
        contradictions = [_contradiction(row) for row in sorted(rows, key=lambda one: one.id)]
        changed_at = max(max(row.opened_at, row.ended_at or row.opened_at) for row in rows)
        digest = digest_of(*map(repr, contradictions), changed_at.isoformat())
        reference = discordance_uids(uid, digest)
        if self._ledger.is_own_result(reference.sop_instance_uid):
            return
        earlier = self._ledger.objects_of_series(uid, reference.series_instance_uid)
        account = DiscordanceAccount(
            study_instance_uid=uid,
            digest=digest,
            changed_at=changed_at,
            number=len(earlier) + 1,
            contradictions=contradictions,
            inputs=tuple(self._studies.references(uid).values()),
            predecessor=None
            if not earlier
            else Reference(reference.sop_class_uid, earlier[-1], reference.series_instance_uid),
        )
        dataset = write_discordances(
            account, self._studies.header(uid), self._author(DISCORDANCE_SERIES)
        )
        yield self._artifact(
            dataset, study, "report-discordance", self._section.send_discordances_to
        )

    def _artifact(
        self, dataset: Dataset, study: ReadingRow, model: str, destinations: tuple[str, ...]
    ) -> Artifact:
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        content = stream.getvalue()
        name = hashlib.sha256(str(dataset.SOPInstanceUID).encode()).hexdigest()[:32]
        path = f"{report_folder(study.study_instance_uid)}/{name}.dcm"
        self._files.write(path, [content], mode=0o600)
        return Artifact(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            sop_class_uid=str(dataset.SOPClassUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            study_instance_uid=study.study_instance_uid,
            revision=study.revision,
            kind=ResultKind.SR,
            model=model,
            path=path,
            sha256=hashlib.sha256(content).hexdigest(),
            destinations=destinations,
        )


def _digest(row: ReportRow) -> str:
    """Digest of one revision, also where a later lexicon reads something else in it."""
    return digest_of(row.text_sha256, row.status, str(row.revision))


def _contradiction(row: DiscordanceRow) -> Contradiction:
    known = concepts().get(row.concept)
    code = known.codes[0] if known is not None and known.codes else None
    value = "" if row.value is None else f" ({row.value:.4g} {row.measure})"
    modelled = "absent" if row.outcome == "report only" else "present"
    stands = row.state.value
    if row.state is DiscordanceState.CLOSED:
        stands = f"closed: {row.verdict}"
    return Contradiction(
        id=row.id,
        model=row.model,
        concept=row.concept,
        code=None if code is None else Code(code.value, code.scheme, code.meaning),
        laterality=row.laterality,
        reported=row.reported,
        modelled=f"{modelled}{value}",
        stands=stands,
    )
