"""Options and errors that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.errors import ConfigError

if TYPE_CHECKING:
    from node.app.stores import Stores
    from node.config.destination import Destination
    from node.config.model import Config

CONFIG_VARIABLE = "WETREAD_CONFIG"


class ConfigurationFailed(click.ClickException):
    """The configuration cannot be used; the message has every mistake."""

    exit_code = 2


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--config FILE``; falls back to $WETREAD_CONFIG, then to wetread.yaml here."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        default=lambda: Path(os.environ.get(CONFIG_VARIABLE, "wetread.yaml")),
        show_default="$WETREAD_CONFIG or wetread.yaml",
        help="Configuration file.",
    )(function)


def models_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--models-dir DIR`` and ``--config FILE``, of which the first makes the other needless."""
    return click.option(
        "--models-dir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Folder with the packages; left out: models_dir of the configuration.",
    )(config_option(function))


def read_config(config_file: Path) -> Config:
    """Load the configuration, or end the command with all its mistakes and exit code 2."""
    from node.config.load import load_config  # loads pydicom: see `node.app.roles`

    try:
        return load_config(config_file)
    except ConfigError as error:
        raise ConfigurationFailed(str(error)) from error


def read_stores(config_file: Path) -> Stores:
    """Open what the configuration names, or end the command with exit code 2."""
    from node.app.stores import open_stores

    try:
        return open_stores(read_config(config_file))
    except ConfigError as error:
        raise ConfigurationFailed(str(error)) from error


def find_destination(config: Config, name: str) -> Destination:
    """Look a destination up, or end the command naming those there are."""
    if name not in config.destinations:
        known = ", ".join(sorted(config.destinations))
        raise click.UsageError(f"no destination {name!r}; configured: {known}")
    return config.destinations[name]
