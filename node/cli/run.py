"""``wetread run``: start the node."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import click
import structlog

from node.app import RECEIVE, ROLES
from node.app.roles import leave_out_pixels, run_role
from node.cli.options import ConfigurationFailed, config_option, read_config
from node.errors import ConfigError
from node.log import configure_logging
from node.store.lock import Stopped

if TYPE_CHECKING:
    from node.config.model import Config

log = structlog.get_logger(__name__)


@click.command()
@config_option
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="Run only this role, in this process when it is the only one; may be repeated. "
    "Default: all, each in a process of its own.",
)
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input ends.")
@click.option("--slot", type=click.IntRange(min=0), hidden=True, help="Which receiver this is.")
def run(config_file: Path, roles: tuple[str, ...], supervised: bool, slot: int | None) -> None:
    """Start the node and keep it running until SIGTERM or Ctrl-C."""
    if roles == (RECEIVE,):
        leave_out_pixels()
    config = read_config(config_file)
    role = _alone(config, roles, slot)
    configure_logging(config.log.level, config.log.format, role=_shown(config, role, slot))
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if supervised:
        Thread(target=_stop_with_supervisor, args=(stop,), daemon=True).start()
    try:
        if role:
            run_role(role, config, stop, slot or 0)
        else:
            _supervise(config_file, config, roles or ROLES, stop)
    except Stopped:
        log.info("role.stopped_waiting")
    except ConfigError as error:
        raise ConfigurationFailed(str(error)) from error


def _alone(config: Config, roles: Sequence[str], slot: int | None) -> str:
    """Name the one role that this process is to be; nothing if it is the supervisor."""
    if len(roles) != 1:
        return ""
    several = roles[0] == RECEIVE and slot is None and config.receive.processes > 1
    return "" if several else roles[0]


def _shown(config: Config, role: str, slot: int | None) -> str:
    if role == RECEIVE and config.receive.processes > 1:
        return f"{role}-{slot or 0}"
    return role or "supervisor"


def _supervise(config_file: Path, config: Config, roles: Sequence[str], stop: Event) -> None:
    from node.app.stores import open_stores
    from node.cli.supervise import processes_of, supervise

    # Opened once before the roles start, so that they do not migrate at the same time.
    open_stores(config).close()
    supervise(config_file, processes_of(config, roles), config.data_dir, stop)


def _stop_with_supervisor(stop: Event) -> None:
    # Not the buffered reader: the interpreter waits for its lock when it ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    if not stop.is_set():
        log.warning("supervisor.gone")
        stop.set()
