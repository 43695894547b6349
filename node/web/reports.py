"""What the status site shows of reports: states, findings and discordances, words only if asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from node.config.reports import Drift
from node.plan.drift import drift
from node.reports import DiscordanceState
from node.store.discordances import Discordances
from node.store.files import Files
from node.store.report_rows import ReportRow
from node.store.reports import FindingRow, Reports
from node.web.pages import Pages

DISCORDANCES_SHOWN = 200
WAITING_SHOWN = 100


@dataclass(frozen=True)
class ReportView:
    """The part of the site that is about reports.

    Parameters
    ----------
    reports, discordances
        Only read.
    files
        Where the words are.
    limits
        When agreement counts as drifting.
    show_text
        Whether the words of a report are shown (`web.show_report_text`).
    """

    reports: Reports
    discordances: Discordances
    files: Files
    limits: Drift
    show_text: bool

    def of_study(self, study_instance_uid: str) -> dict[str, Any]:
        """Reports of a study with their findings, and what was compared."""
        rows = self.reports.find(study_instance_uid)
        return {
            "reports": [{"row": row, "findings": self._findings(row)} for row in reversed(rows)],
            "comparisons": self.discordances.comparisons(study_instance_uid),
            "discordances": self.discordances.of_study(study_instance_uid),
        }

    def work_list(self, pages: Pages, request: Request) -> Response:
        """The page of discordances: open ones, how models agree, and reports without a study."""
        limits = self.limits
        history = self.discordances.history(limits.window_studies + limits.baseline_studies)
        agreement = [
            (model, found, found.alarms(limits.alarm_from_z))
            for model, studies in sorted(history.items())
            for found in [drift(studies, limits.window_studies, limits.baseline_studies)]
        ]
        return pages.respond(
            request,
            "discordances.html",
            open=self.discordances.newest(DiscordanceState.OPEN, DISCORDANCES_SHOWN),
            agreement=agreement,
            counts=self.reports.counts_by_state(),
            reports=[
                row
                for row in self.reports.newest(limit=WAITING_SHOWN)
                if row.state in ("waiting", "quarantined", "failed")
            ],
        )

    def open_count(self) -> int:
        """How many discordances wait for a reviewer."""
        counts = self.discordances.counts()
        return sum(n for (_, state), n in counts.items() if state == DiscordanceState.OPEN)

    def _findings(self, row: ReportRow) -> list[tuple[FindingRow, str]]:
        """Findings, each with its words, or without where the site does not show them."""
        found = self.reports.findings(row)
        if not self.show_text or not found:
            return [(one, "") for one in found]
        text = self.files.path(row.text_path).read_text(encoding="utf-8")
        return [(one, text[one.start : one.end]) for one in found]
