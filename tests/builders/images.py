"""Real images from PyPI packages, read in place."""

from __future__ import annotations

import os

import click
import pytest

from node.cli.demo_data import DemoStudy, chest_ct, chest_radiograph


def real_studies() -> dict[str, DemoStudy]:
    """A chest radiograph and a chest CT, or a skip with the reason (a failure in CI)."""
    try:
        return {study.name: study for study in (chest_radiograph(), chest_ct(patient=1))}
    except click.ClickException as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have it: {error.message}")
        pytest.skip(error.message)
