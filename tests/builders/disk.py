"""Small file systems that really fill up, and disks whose power can be cut."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """An ext4 file system in a file, and where it is mounted."""

    image: Path
    place: Path


@contextmanager
def disks_in_files(folder: Path) -> Iterator[Callable[[Path | None], Disk]]:
    """Give a function that mounts a new ext4 file system, or a copy of another disk's file.

    Such a copy is what a power cut leaves: what was written to the disk, and nothing that the
    system still held in memory. Nobody may write meanwhile.
    """
    mounted: list[Path] = []

    def mount(image: Path | None) -> Disk:
        number = len(mounted)
        disk = Disk(folder / f"image-{number}", folder / f"ext4-{number}")
        disk.place.mkdir()
        if image is None:
            with disk.image.open("wb") as stream:
                stream.truncate(320 << 20)
            _must("mkfs.ext4", "-q", "-F", str(disk.image))
        else:
            _must("cp", "--sparse=always", str(image), str(disk.image))
        # The system must write nothing by itself while a copy is made.
        _must("mount", "-o", "loop,commit=300", str(disk.image), str(disk.place))
        mounted.append(disk.place)
        return disk

    try:
        yield mount
    finally:
        _unmount(mounted)


def _must(*command: str) -> None:
    """Run a command; where it is not possible here, the test is skipped with its reason."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    if done.returncode != 0:
        pytest.skip(f"{command[0]}: {done.stderr.strip()}")


@contextmanager
def small_disks(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Give a function that mounts a tmpfs with the options it is given; unmount all at the end."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = folder / f"disk-{len(mounted)}"
        place.mkdir()
        _must("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
        mounted.append(place)
        return place

    try:
        yield mount
    finally:
        _unmount(mounted)


def _unmount(places: Sequence[Path]) -> None:
    for place in places:
        # Lazy: a file that a failed test has left open must not keep it mounted.
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=60)
