"""The role web: the status page."""

from __future__ import annotations

from threading import Event

from node.app.stores import open_stores
from node.config.model import Config
from node.web.app import serve


def run_web(config: Config, stop: Event) -> None:
    """Serve the status page until `stop` is set."""
    stores = open_stores(config)
    serve(config.web, stores.index, stores.ledger, stores.quarantine, stop)
