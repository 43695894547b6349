"""The role web: the status page."""

from __future__ import annotations

from functools import partial
from threading import Event

from node.app.stores import open_stores
from node.config.model import Config
from node.store.lane import read_lane
from node.web.app import serve
from node.web.reports import ReportView


def run_web(config: Config, stop: Event) -> None:
    """Serve the status page until `stop` is set."""
    stores = open_stores(config)
    lane = partial(read_lane, config.data_dir)
    reports = None
    if config.reports is not None:
        reports = ReportView(
            stores.reports,
            stores.discordances,
            stores.files,
            config.reports.drift,
            config.web.show_report_text,
        )
    serve(config.web, stores.index, stores.ledger, stores.quarantine, stop, lane, reports)
