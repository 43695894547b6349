"""The role receive: one of the processes that listen on the node's port."""

from __future__ import annotations

import gc
import socket
from threading import Event

from node.app import RECEIVE
from node.app.stopping import wait_for
from node.app.stores import open_stores, utc_now
from node.config.destination import DimseDestination
from node.config.model import Config
from node.errors import ConfigError
from node.receive.commitment import CommitmentService
from node.receive.keep import Keeper
from node.receive.scp import StorageScp
from node.store.lock import only_one


def run_receive(config: Config, stop: Event, slot: int = 0) -> None:
    """Be one storage SCP until `stop` is set.

    Parameters
    ----------
    slot
        Which of the ``receive.processes`` on this port it is, from 0; no two of a host have
        the same one at the same time.

    Raises
    ------
    ConfigError
        If there is no such slot, the port is taken, or data directory or database cannot be
        used.
    """
    processes = config.receive.processes
    if slot >= processes:
        raise ConfigError(f"receive.processes is {processes}: the slots are 0 to {processes - 1}")
    stores = open_stores(config)
    with only_one(config.data_dir, f"{RECEIVE}-{slot}", stop):
        keeper = Keeper(
            stores.files,
            stores.index,
            utc_now,
            receive=config.receive,
            storage=config.storage,
            slot=slot,
        )
        keeper.recover(processes)
        # Of this host only: another one that shares the folder counts its own associations.
        shared = config.data_dir / "receivers" / socket.gethostname() if processes > 1 else None
        called_back = {
            destination.ae_title
            for destination in config.destinations.values()
            if isinstance(destination, DimseDestination)
        }
        commitment = CommitmentService(
            stores.ledger.proofs, stores.commitments, called_back, utc_now
        )
        scp = StorageScp(
            config.receive, keeper, commitment=commitment, slot=slot, shared_folder=shared
        )
        # What is there now stays for good: the collector need not look at it for every few images.
        gc.freeze()
        scp.start()
        wait_for(stop)
        scp.stop()
        keeper.close()
    stores.close()
