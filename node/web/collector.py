"""Metrics read from the database when they are asked for.

The roles are processes of their own, so no counter in this one knows what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from node.domain import DeliveryState, Proof, StudyState
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.quarantine import Quarantine


class StateCollector(Collector):
    """How many studies and deliveries there are in each state, and how much is in quarantine.

    No UID is ever a label. States that nothing is in are there with 0, so that an alert on
    them has a value.

    Parameters
    ----------
    index, ledger, quarantine
        Read at each scrape.
    clock
        Gives the current time, timezone-aware, for the age of what waits.
    """

    def __init__(
        self,
        index: Index,
        ledger: Ledger,
        quarantine: Quarantine,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._index = index
        self._ledger = ledger
        self._quarantine = quarantine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read all."""
        yield self._studies()
        yield self._deliveries()
        yield self._proofs()
        yield from self._destinations()
        yield GaugeMetricFamily(
            "wetread_quarantined_instances",
            "Instances that are kept but not used until they are released.",
            value=sum(self._quarantine.counts().values()),
        )

    def _studies(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("wetread_studies", "Studies by state.", labels=["state"])
        counts = self._index.counts_by_state()
        for state in StudyState:
            family.add_metric([state.value], counts.get(state, 0))
        return family

    def _deliveries(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "wetread_deliveries",
            "Objects by destination and state there.",
            labels=["destination", "state"],
        )
        counts = self._ledger.delivery_counts()
        for destination in sorted({destination for destination, _ in counts}):
            for state in DeliveryState:
                family.add_metric([destination, state.value], counts.get((destination, state), 0))
        return family

    def _proofs(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "wetread_delivery_proofs",
            "Objects by destination and whether it has proven to hold them.",
            labels=["destination", "proof"],
        )
        for destination, counts in sorted(self._ledger.proofs.by_destination().items()):
            for proof in Proof:
                family.add_metric([destination, proof.value], counts[proof])
        return family

    def _destinations(self) -> Iterator[GaugeMetricFamily]:
        away = GaugeMetricFamily(
            "wetread_destination_away",
            "1 where a destination does not take what it is sent, 0 where it does.",
            labels=["destination"],
        )
        oldest = GaugeMetricFamily(
            "wetread_delivery_oldest_seconds",
            "How long the oldest object that waits for a destination has waited.",
            labels=["destination"],
        )
        now = self._clock()
        for row in self._ledger.outbox.summaries():
            away.add_metric([row.destination], float(row.away_since is not None))
            age_s = 0.0 if row.oldest is None else (now - row.oldest).total_seconds()
            oldest.add_metric([row.destination], max(age_s, 0.0))
        yield away
        yield oldest
