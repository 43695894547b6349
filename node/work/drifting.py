"""Watching whether models contradict the reports more often than they used to."""

from __future__ import annotations

import structlog

from node.config.reports import Drift
from node.plan.drift import drift
from node.store.discordances import Discordances

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 60.0


class DriftWatch:
    """Logs when a model begins to drift, and when it has ceased to.

    Parameters
    ----------
    limits
        Of the configuration.
    """

    def __init__(self, limits: Drift, discordances: Discordances) -> None:
        self._limits = limits
        self._discordances = discordances
        self._drifting: set[str] = set()
        self._looked_at = float("-inf")

    def look(self, now_s: float) -> None:
        """Look at every model, at most every `LOOK_EVERY_S`.

        Parameters
        ----------
        now_s
            Seconds of a clock that never goes back.
        """
        if now_s - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now_s
        limits = self._limits
        both = limits.window_studies + limits.baseline_studies
        for model, studies in self._discordances.history(both).items():
            found = drift(studies, limits.window_studies, limits.baseline_studies)
            if found.alarms(limits.alarm_from_z) == (model in self._drifting):
                continue
            if model in self._drifting:
                self._drifting.remove(model)
                log.info("agreement.steady", model=model)
            else:
                self._drifting.add(model)
                log.error(
                    "agreement.drifting",
                    model=model,
                    share=found.share,
                    baseline_share=found.baseline_share,
                    z=found.z,
                )
