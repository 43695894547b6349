"""The role hl7: the listener for reports."""

from __future__ import annotations

from threading import Event

from node.app import HL7
from node.app.stopping import wait_for
from node.app.stores import open_stores, utc_now
from node.config.model import Config
from node.errors import ConfigError
from node.receive.hl7.keep import MessageKeeper
from node.receive.hl7.server import MllpServer
from node.store.lock import only_one


def run_hl7(config: Config, stop: Event) -> None:
    """Be the MLLP listener until `stop` is set.

    Raises
    ------
    ConfigError
        If the configuration has none, the port is taken, or data directory or database cannot
        be used.
    """
    if config.reports is None or config.reports.hl7 is None:
        raise ConfigError("reports.hl7 is left out: there is nothing to listen for")
    stores = open_stores(config)
    with only_one(config.data_dir, HL7, stop):
        keeper = MessageKeeper(
            stores.files, stores.reports, stores.report_messages, config.storage, utc_now
        )
        server = MllpServer(config.reports.hl7, keeper.keep)
        server.start()
        wait_for(stop)
        server.stop()
    stores.close()
