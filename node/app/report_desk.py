"""The report desk of a work process, put together from its parts."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from engines.catalogue import Catalogue
from nlp.concepts import concepts
from node import __version__
from node.app.stores import Stores, utc_now
from node.config.load import config_digest
from node.config.model import Config
from node.domain import derived_uid
from node.encode.document import Author
from node.store.files import REPORTS
from node.work.comparing import Comparing
from node.work.drifting import DriftWatch
from node.work.notifying import Notifier
from node.work.report_studies import ReportStudies
from node.work.reports import ReportDesk

log = structlog.get_logger(__name__)

ABANDONED_AFTER_S = 86400.0
"""Nobody takes a day to write a report: what is unfinished for so long was left by a crash."""


def open_report_desk(
    config: Config, stores: Stores, catalogue: Catalogue, written: Callable[[], None]
) -> ReportDesk | None:
    """Make the desk; None where the configuration has no reports.

    Parameters
    ----------
    written
        Called when there is something new to send.
    """
    if config.reports is None:
        return None
    _name_unknown_concepts(config, catalogue)
    # Listener, desk and commands all write reports.
    stores.files.sweep(REPORTS, unchanged_for_s=ABANDONED_AFTER_S)
    studies = ReportStudies(stores.files, stores.index, stores.reports, stores.readings)
    digest = config_digest(config)

    def author(series_number: int) -> Author:
        results = config.results
        return Author(
            prefix=results.prefix,
            series_number=results.series_number_base + series_number,
            node_version=__version__,
            config_digest=digest,
            institution_name=results.institution_name,
            device_serial_number=results.device_serial_number,
            device_uid=derived_uid("device", config.receive.ae_title, results.device_serial_number),
        )

    comparing = Comparing(
        config,
        stores.files,
        stores.index,
        stores.ledger,
        stores.reports,
        stores.discordances,
        studies,
        catalogue,
        author,
        written,
    )
    notify = config.reports.notify
    return ReportDesk(
        stores.files,
        stores.reports,
        stores.readings,
        studies,
        comparing,
        None if notify is None else Notifier(notify, stores.discordances),
        DriftWatch(config.reports.drift, stores.discordances),
        utc_now,
    )


def _name_unknown_concepts(config: Config, catalogue: Catalogue) -> None:
    """Say which findings of packages and rules no report can speak of."""
    named = {
        finding.concept: f"package {package.name}"
        for package in catalogue.packages
        for finding in package.manifest.findings
    }
    named |= {concept: f"rule {rule.name}" for rule in config.rules for concept in rule.findings}
    for concept in sorted(set(named) - set(concepts())):
        log.error("concept.unknown", concept=concept, where=named[concept])
