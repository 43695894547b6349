"""The disk is called full before it is, on file systems that really fill up."""

from __future__ import annotations

import errno
import os

import pytest

from node.config.model import Storage
from node.store.files import Files
from node.store.part import Part
from node.store.space import FRESH_FOR_S, Space


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def filler(folder, size):
    path = folder / "filler"
    path.write_bytes(bytes(size))
    return path


def test_a_disk_with_room_refuses_nothing(small_disk):
    folder = small_disk("size=8m")

    assert Space(folder, Storage()).refusal() == ""


def test_a_nearly_full_disk_is_refused_with_numbers_until_there_is_room(small_disk):
    folder, clock = small_disk("size=8m"), Clock()
    space = Space(folder, Storage(min_free_percent=25), clock)
    full = filler(folder, 7 << 20)

    assert space.refusal() == (
        "1 MiB (12.5 %) of data_dir's file system are free; storage.min_free_percent wants 25 %"
    )

    full.unlink()
    clock.now += FRESH_FOR_S
    assert space.refusal() == ""


def test_a_disk_without_inodes_is_refused_although_it_has_bytes(small_disk):
    folder, clock = small_disk("size=8m,nr_inodes=100"), Clock()
    space = Space(folder, Storage(min_free_inodes_percent=20), clock)
    assert space.refusal() == ""
    for number in range(85):
        (folder / str(number)).touch()
    clock.now += FRESH_FOR_S

    assert "inodes" in space.refusal()
    assert "storage.min_free_inodes_percent wants 20 %" in space.refusal()


def test_a_file_system_that_counts_no_inodes_has_no_limit_of_them(small_disk):
    folder = small_disk("size=8m,nr_inodes=0")
    assert os.statvfs(folder).f_files == 0

    assert Space(folder, Storage(min_free_inodes_percent=50)).refusal() == ""


def test_it_does_not_ask_the_file_system_for_each_instance(small_disk):
    folder, clock = small_disk("size=8m"), Clock()
    space = Space(folder, Storage(min_free_percent=25), clock)
    assert space.refusal() == ""
    filler(folder, 7 << 20)

    clock.now += FRESH_FOR_S / 2
    assert space.refusal() == ""
    clock.now += FRESH_FOR_S
    assert space.refusal() != ""


def test_it_is_logged_once_when_it_turns(small_disk, events):
    folder, clock = small_disk("size=8m"), Clock()
    space = Space(folder, Storage(min_free_percent=25), clock)
    for full in (False, True, True, False, False):
        if full:
            filler(folder, 7 << 20)
        else:
            (folder / "filler").unlink(missing_ok=True)
        clock.now += FRESH_FOR_S
        space.refusal()

    assert [event["event"] for event in events] == ["storage.nearly_full", "storage.has_room"]


def test_a_part_on_a_full_disk_leaves_nothing(small_disk):
    folder = small_disk("size=4m")
    part = Part.new(Files(folder), 0, durable=True)

    with pytest.raises(OSError, match="No space left") as raised:
        part.append([bytes(1 << 20)] * 6)
    part.remove()

    assert raised.value.errno == errno.ENOSPC
    assert list((folder / "parts").iterdir()) == []
    assert os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize > 2 << 20
