"""Metrics of reports and of their agreement with the models, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from node.config.reports import Drift
from node.plan.drift import drift
from node.reports import DiscordanceState, ReportState
from node.store.discordances import Discordances
from node.store.reports import Reports


class ReportCollector(Collector):
    """How many reports, comparisons and discordances there are, and whether models drift.

    Parameters
    ----------
    reports, discordances
        Read at each scrape.
    limits
        When agreement counts as drifting.
    """

    def __init__(self, reports: Reports, discordances: Discordances, limits: Drift) -> None:
        self._reports = reports
        self._discordances = discordances
        self._limits = limits

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read all."""
        family = GaugeMetricFamily(
            "wetread_reports", "Revisions of reports by state.", labels=["state"]
        )
        counts = self._reports.counts_by_state()
        for state in ReportState:
            family.add_metric([state.value], counts.get(state, 0))
        yield family
        yield self._comparisons()
        yield self._open()
        yield from self._drift()

    def _comparisons(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "wetread_comparisons",
            "Findings that were held against reports, by model and what they came to.",
            labels=["model", "outcome"],
        )
        for (model, outcome), count in sorted(self._discordances.outcomes().items()):
            family.add_metric([model, outcome], count)
        return family

    def _open(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "wetread_discordances",
            "Contradictions between reports and models, by model and state.",
            labels=["model", "state"],
        )
        counts = self._discordances.counts()
        for model in sorted({model for model, _ in counts}):
            for state in DiscordanceState:
                family.add_metric([model, state.value], counts.get((model, state), 0))
        return family

    def _drift(self) -> Iterator[GaugeMetricFamily]:
        share = GaugeMetricFamily(
            "wetread_discordant_share",
            "Share of a model's comparable studies that contradict their report.",
            labels=["model", "period"],
        )
        alarm = GaugeMetricFamily(
            "wetread_agreement_drift",
            "1 where a model contradicts the reports more often than it used to, else 0.",
            labels=["model"],
        )
        limits = self._limits
        history = self._discordances.history(limits.window_studies + limits.baseline_studies)
        for model, studies in sorted(history.items()):
            found = drift(studies, limits.window_studies, limits.baseline_studies)
            if found.share is not None:
                share.add_metric([model, "window"], found.share)
            if found.baseline_share is not None:
                share.add_metric([model, "baseline"], found.baseline_share)
            alarm.add_metric([model], float(found.alarms(limits.alarm_from_z)))
        yield share
        yield alarm
