"""Small file systems that really fill up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disks(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Give a function that mounts a tmpfs with the options it is given; unmount all at the end."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = folder / f"disk-{len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            pytest.skip(f"mount: {done.stderr.strip()}")
        mounted.append(place)
        return place

    try:
        yield mount
    finally:
        for place in mounted:
            # Lazy: a file that a failed test has left open must not keep it mounted.
            subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=60)
