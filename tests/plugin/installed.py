"""A distribution as an installer leaves it, without an installer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).with_name("toy")


def install(source: Path, site: Path, **more: dict[str, str]) -> None:
    """Put modules and metadata of a project where Python finds them, as pip would.

    Parameters
    ----------
    more
        Further entry points by group, with ``_`` for the dot.
    """
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    groups = dict(project["entry-points"])
    for group, entries in more.items():
        name = group.replace("_", ".")
        groups[name] = {**groups.get(name, {}), **entries}
    site.mkdir(parents=True, exist_ok=True)
    for module in source.glob("*.py"):
        shutil.copy(module, site)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()), ""])
        for group, entries in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def node_says(folder: Path, *sites: Path, backend: str, task: str) -> dict[str, Any]:
    """Process a study in a process of its own that sees these sites (`tests.plugin.process`)."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.plugin.process", str(folder), backend, task],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sites))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**answer, "log": done.stderr}
