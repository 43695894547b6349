"""Metrics read from the database when they are asked for.

The roles are processes of their own, so no counter in this one knows what they did.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from node.domain import DeliveryState, StudyState
from node.store.index import Index
from node.store.ledger import Ledger


class StateCollector(Collector):
    """How many studies and deliveries there are in each state; no UID is ever a label.

    States that nothing is in are there with 0, so that an alert on them has a value.

    Parameters
    ----------
    index, ledger
        Read at each scrape.
    """

    def __init__(self, index: Index, ledger: Ledger) -> None:
        self._index = index
        self._ledger = ledger

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read both."""
        yield self._studies()
        yield self._deliveries()

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
