"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno

import pytest

from node.store.files import INSTANCES, RESULTS, Files, instance_path, result_folder
from node.store.part import Part


def test_a_written_file_is_there_whole(tmp_path):
    files = Files(tmp_path)

    path = files.write("instances/ab/one.dcm", [b"first ", memoryview(b"second")])

    assert path.read_bytes() == b"first second"
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_disk_that_fills_up_leaves_neither_file_nor_part(tmp_path):
    files = Files(tmp_path)

    def until_full():
        yield b"some bytes"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.write("instances/ab/one.dcm", until_full())

    assert not (tmp_path / "instances/ab/one.dcm").exists()
    assert list((tmp_path / "parts").iterdir()) == []


def test_writing_again_replaces_the_file_in_one_step(tmp_path):
    files = Files(tmp_path)
    files.write("results/a", [b"old"])

    files.write("results/a", [b"new"])

    assert files.path("results/a").read_bytes() == b"new"


def test_the_sweep_removes_what_a_crash_left_and_nothing_else(tmp_path):
    files = Files(tmp_path)
    kept = files.write("instances/ab/one.dcm", [b"acknowledged"])
    in_progress = []

    def chunks():
        yield b"never acknowledged"
        in_progress.extend((tmp_path / "parts").iterdir())
        assert files.sweep(RESULTS) == 0, "another process may be writing it"
        assert files.sweep(INSTANCES) == 1

    with pytest.raises(FileNotFoundError):
        files.write("instances/ab/two.dcm", chunks())

    assert not in_progress[0].exists()
    assert kept.read_bytes() == b"acknowledged"


def test_an_instance_that_version_0_1_has_stored_is_found(tmp_path):
    digest = "ab12" + "0" * 60
    earlier = tmp_path / "instances/ab/12" / f"{digest}.dcm"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"of 0.1")

    assert Files(tmp_path).instance(digest).read_bytes() == b"of 0.1"


def test_an_instance_that_is_not_there_has_a_place_in_a_folder_that_is(tmp_path):
    place = Files(tmp_path).instance("ab12" + "0" * 60)

    assert not place.exists()
    assert place.parent.is_dir()


def test_the_sweep_leaves_what_is_whole(tmp_path):
    files = Files(tmp_path)
    part = Part.new(files, 0, durable=True)
    part.append([b"whole"])
    part.complete()

    assert files.sweep(INSTANCES) == 0
    assert part.path.read_bytes() == b"whole"


def test_no_uid_that_came_over_the_wire_is_part_of_a_path():
    assert ".." not in result_folder("../../etc/passwd", 1, 0)
    assert instance_path("ab" * 32).startswith("instances/ab/abab")
