"""``wetread run``: start the node."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread

import click
import structlog

from node.app import ROLES, open_stores
from node.cli.options import ConfigurationFailed, config_option, read_config
from node.cli.supervise import supervise
from node.errors import ConfigError
from node.log import configure_logging
from node.store.lock import Stopped

log = structlog.get_logger(__name__)


@click.command()
@config_option
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(list(ROLES)),
    help="Run only this role, in this process when it is the only one; may be repeated. "
    "Default: all, each in a process of its own.",
)
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input ends.")
def run(config_file: Path, roles: tuple[str, ...], supervised: bool) -> None:
    """Start the node and keep it running until SIGTERM or Ctrl-C."""
    config = read_config(config_file)
    role = roles[0] if len(roles) == 1 else ""
    configure_logging(config.log.level, config.log.format, role=role or "supervisor")
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if supervised:
        Thread(target=_stop_with_supervisor, args=(stop,), daemon=True).start()
    try:
        if role:
            ROLES[role](config, stop)
        else:
            # Opened once before the roles start, so that they do not migrate at the same time.
            open_stores(config)
            supervise(config_file, roles or tuple(ROLES), config.data_dir, stop)
    except Stopped:
        log.info("role.stopped_waiting")
    except ConfigError as error:
        raise ConfigurationFailed(str(error)) from error


def _stop_with_supervisor(stop: Event) -> None:
    # Not the buffered reader: the interpreter waits for its lock when it ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    if not stop.is_set():
        log.warning("supervisor.gone")
        stop.set()
