"""The journal gives back what was written to it, before and after a crash, and nothing else."""

from __future__ import annotations

import errno
import shutil
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from node.errors import PermanentError
from node.store.direct import BLOCK, aligned
from node.store.files import Files
from node.store.journal import open_journal, restore
from node.store.journal.block import Header, decode, encode_into, fits, is_intact
from node.store.journal.ring import Ring
from node.store.part import Part
from tests.builders.disk import small_disks
from tests.builders.network import wait_until
from tests.builders.records import NOON
from tests.builders.wire import whole

SIZE = 4 << 20
PREFIX = b"file meta information"


def content(number, size=100_000):
    """Bytes that are no other number's."""
    return (number.to_bytes(4, "little") * (size // 4 + 1))[:size]


class Disk:
    """A data directory with a journal, which can be had again as a crash leaves it."""

    def __init__(self, folder, durable=True, size=SIZE):
        self.files = Files(folder)
        self.journal = open_journal(self.files, 0, size, durable=durable)
        if self.journal is not None:
            wait_until(lambda: self.journal.is_ready, within_s=60, what="the journal")

    def write(self, *numbers, size=100_000):
        """Write data sets; return their entries."""
        return [self.journal.write(PREFIX, whole(content(n, size)), NOON) for n in numbers]

    def crashed(self, folder, damage=lambda journal: None):
        """A copy of it as it is now."""
        files = Files(folder)
        [journal] = (self.files.data_dir / "journal").iterdir()
        shutil.copy(journal, folder / "journal")
        damage(folder / "journal" / journal.name)
        return files


@pytest.fixture(params=[True, False], ids=["full", "relaxed"])
def disk(tmp_path, request):
    one = Disk(tmp_path / "first", durable=request.param)
    yield one
    one.journal.close()


def restored(files, **difference):
    """What a start makes of a journal: the contents of the parts, sorted."""
    made = restore(files, 0, 1, **difference)
    parts = sorted((files.data_dir / "parts").iterdir())
    assert made == len(parts)
    assert all(part.suffix == ".whole" for part in parts)
    return sorted(part.read_bytes() for part in parts)


def with_prefix(*numbers, size=100_000):
    return sorted(PREFIX + content(number, size) for number in numbers)


def test_what_was_written_is_read(disk):
    entries = disk.write(1, 2, 3)

    assert [b"".join(entry.read()) for entry in entries] == [
        PREFIX + content(number) for number in (1, 2, 3)
    ]


def test_a_data_set_in_pieces_of_any_size_comes_back_as_one(disk):
    for size in (1, 4095, 4096, 4097, 30_000):
        entry = disk.journal.write(PREFIX, whole(content(7), size), NOON)
        if entry is None:
            assert not fits(PREFIX, -(-100_000 // size))
        else:
            assert b"".join(entry.read()) == PREFIX + content(7)


def test_a_crash_leaves_all_that_was_written_with_its_time(disk, tmp_path):
    disk.write(1, 2, 3)

    files = disk.crashed(tmp_path / "after")

    assert restored(files) == with_prefix(1, 2, 3)
    for part in (files.data_dir / "parts").iterdir():
        assert part.stat().st_mtime == NOON.timestamp()


def test_what_was_released_before_is_not_made_again(disk, tmp_path):
    first, second = disk.write(1, 2)
    first.release()
    third = disk.write(3)[0]

    assert restored(disk.crashed(tmp_path / "after")) == with_prefix(2, 3)

    second.release()
    third.release()
    assert restored(disk.crashed(tmp_path / "again")) == []


def test_a_restored_journal_is_in_order_and_can_be_used(disk, tmp_path):
    disk.write(1)
    files = disk.crashed(tmp_path / "after")
    assert open_journal(files, 0, SIZE, durable=True) is None, "it must be restored first"
    restored(files)

    journal = open_journal(files, 0, SIZE, durable=True)
    assert journal.is_ready
    entry = journal.write(PREFIX, whole(content(2)), NOON)
    assert b"".join(entry.read()) == PREFIX + content(2)
    entry.release()
    journal.close()
    assert restore(files, 0, 1) == 0


def test_a_journal_that_was_closed_with_something_in_it_is_restored(tmp_path):
    disk = Disk(tmp_path)
    disk.write(1)
    disk.journal.close()

    assert restored(disk.files) == with_prefix(1)
    assert restore(disk.files, 0, 1) == 0


def test_a_full_journal_takes_no_more_until_the_oldest_is_released(disk):
    entries = []
    while (entry := disk.write(len(entries))[0]) is not None:
        entries.append(entry)
    assert len(entries) > 30
    assert disk.journal.is_pressed

    entries[1].release()
    assert disk.write(77) == [None]
    entries[0].release()
    assert disk.write(78)[0] is not None
    assert b"".join(entries[2].read()) == PREFIX + content(2)


def test_many_rounds_leave_what_is_held_as_it_was(disk, tmp_path):
    held = disk.write(1000)
    for number in range(200):
        new = disk.write(number, size=50_000 + 997 * (number % 50))
        assert new[0] is not None
        held = [*held, *new]
        if len(held) > 9:
            held.pop(0).release()

    for entry, number in zip(held, range(191, 200), strict=True):
        size = 50_000 + 997 * (number % 50)
        assert b"".join(entry.read()) == PREFIX + content(number, size)
    assert len(restored(disk.crashed(tmp_path / "after"))) == 9 + 1, "and the one released last"


@pytest.mark.parametrize("at", [BLOCK + 8, BLOCK + 100, 2 * BLOCK, 2 * BLOCK + 50_000])
def test_an_entry_that_a_power_cut_has_broken_off_is_no_entry(disk, tmp_path, at):
    disk.write(1, 2)

    def damage(journal):
        with journal.open("r+b") as stream:
            stream.seek(at)
            byte = stream.read(1)
            stream.seek(at)
            stream.write(bytes([byte[0] ^ 0xFF]))

    assert restored(disk.crashed(tmp_path / "after", damage)) == with_prefix(2)


@given(st.binary(min_size=1, max_size=8), st.integers(0, 100))
@example(bytes(4), 64)
@settings(deadline=None, max_examples=30)
def test_a_header_with_any_other_bytes_in_it_is_no_entry_and_stops_no_start(noise, at):
    with TemporaryDirectory() as name:
        folder = Path(name)
        disk = Disk(folder / "first")
        disk.write(1, 2)

        def damage(journal):
            with journal.open("r+b") as stream:
                stream.seek(BLOCK + at)
                before = stream.read(len(noise))
                stream.seek(BLOCK + at)
                stream.write(noise)
            wanted.extend([1, 2] if before == noise else [2])

        wanted = []
        assert restored(disk.crashed(folder / "after", damage)) == with_prefix(*wanted)
        disk.journal.close()


def test_what_a_disk_gives_back_wrongly_makes_no_file(disk):
    [entry] = disk.write(1)
    [journal] = (disk.files.data_dir / "journal").iterdir()
    with journal.open("r+b") as stream:
        stream.seek(3 * BLOCK)
        stream.write(b"another byte")

    with pytest.raises(PermanentError, match="does not give back"):
        list(entry.read())


def test_what_a_peer_sends_is_no_entry_however_it_looks(disk, tmp_path):
    forged, data = aligned(BLOCK), aligned(BLOCK)
    encode_into(forged, b"\0" * 16, Header(9, 0, 0.0, BLOCK, PREFIX, ((0, 9),)), data)
    evil = bytes(forged) + bytes(data)
    # Old data sets, written over in part: what is behind is looked at block by block.
    first = disk.journal.write(b"", whole(evil * 10, size=len(evil) * 10), NOON)
    first.release()
    disk.write(1, size=5000)

    assert restored(disk.crashed(tmp_path / "after")) == with_prefix(1, size=5000)


def test_a_journal_that_nobody_can_read_is_made_anew(disk, tmp_path):
    disk.write(1)

    def damage(journal):
        with journal.open("r+b") as stream:
            stream.write(b"other bytes")

    files = disk.crashed(tmp_path / "after", damage)
    with capture_logs() as events:
        assert restored(files) == []
    assert [event["event"] for event in events] == ["journal.unreadable"]
    [aside] = (tmp_path / "after" / "journal").iterdir()
    assert aside.suffix == ".unreadable"
    journal = open_journal(files, 0, SIZE, durable=True)
    assert journal is not None
    journal.close()


def test_a_journal_whose_making_was_broken_off_is_made_anew_without_a_word(disk, tmp_path):
    def damage(journal):
        with journal.open("r+b") as stream:
            stream.write(bytes(BLOCK))

    files = disk.crashed(tmp_path / "after", damage)
    with capture_logs() as events:
        assert restored(files) == []
    assert events == []
    journal = open_journal(files, 0, SIZE, durable=True)
    assert journal is not None
    journal.close()


def test_a_journal_of_another_size_is_made_anew(tmp_path):
    Disk(tmp_path).journal.close()

    larger = Disk(tmp_path, size=2 * SIZE)
    larger.write(1)
    [journal] = (tmp_path / "journal").iterdir()
    assert journal.stat().st_size == 2 * SIZE
    larger.journal.close()
    assert restored(larger.files) == with_prefix(1)


def test_two_processes_do_not_write_to_one_journal(disk):
    assert open_journal(disk.files, 0, SIZE, durable=True) is None
    disk.write(1)
    assert restore(disk.files, 0, 1) == 0, "it is in use"


def test_the_first_process_looks_after_journals_that_nobody_has_any_more(disk, tmp_path):
    disk.write(1)
    files = disk.crashed(tmp_path / "after")
    [journal] = (tmp_path / "after" / "journal").iterdir()
    journal.rename(journal.with_name(f"{socket.gethostname()}-journal-3"))

    assert restore(files, 1, 4) == 0
    assert restored(files) == with_prefix(1)
    assert list((tmp_path / "after" / "journal").iterdir()) == []


def test_a_journal_that_is_not_wanted_any_more_is_restored_and_removed(disk, tmp_path):
    disk.write(1)
    files = disk.crashed(tmp_path / "after")

    assert restored(files, keep=False) == with_prefix(1)
    assert list((tmp_path / "after" / "journal").iterdir()) == []


def test_none_is_made_where_none_is_wanted_or_the_disk_is_small(tmp_path):
    assert open_journal(Files(tmp_path), 0, 0, durable=True) is None
    with small_disks(tmp_path) as mount:
        assert open_journal(Files(mount("size=16m")), 0, SIZE, durable=True) is None
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_file_system_that_knows_no_direct_writes_has_one_too(tmp_path):
    with small_disks(tmp_path) as mount:
        disk = Disk(mount("size=512m"))
        disk.write(1)
        assert restored(disk.crashed(tmp_path / "after")) == with_prefix(1)
        disk.journal.close()


@given(st.binary(max_size=4096), st.integers(0, 3))
@settings(deadline=None)
def test_a_block_of_any_bytes_is_read_or_refused(noise, where):
    block, data = aligned(BLOCK), aligned(2 * BLOCK)
    key = b"k" * 16
    encode_into(block, key, Header(1, 0, 0.0, 2 * BLOCK, PREFIX, ((0, 5000), (5012, 100))), data)
    assert is_intact(block, data)
    at = (0, 24, 40, 100)[where]
    block[at : at + len(noise)] = noise[: BLOCK - at]

    header = decode(block, key)

    if header is not None and is_intact(block, data):
        assert header.places == ((0, 5000), (5012, 100))
        assert header.prefix == PREFIX


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 12)), max_size=120))
def test_no_two_regions_overlap_and_all_lie_within_the_ring(steps):
    ring = Ring(10, 0)
    ring.limit = 110
    taken = []
    for length, which in steps:
        region = ring.take(length)
        if region is None:
            assert taken
        else:
            assert 10 <= region.offset <= 110 - length
            for other in taken:
                assert (
                    region.offset + length <= other.offset
                    or other.offset + other.length <= region.offset
                )
            taken.append(region)
        if which < len(taken):
            ring.give_back(taken.pop(which))
        assert ring.floor <= min((one.number for one in taken), default=ring.floor)
        assert 0 <= ring.share_taken <= 1
        assert ring.is_empty == (not taken)


def test_a_ring_that_is_empty_gives_out_all_of_it():
    ring = Ring(0, 0)
    assert ring.take(1) is None
    ring.limit = 10
    first = ring.take(10)
    assert ring.take(1) is None
    ring.give_back(first)
    assert ring.take(10).number == 1


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_001])
def test_a_file_is_filled_from_what_is_read_in_one(disk, size):
    chunk = whole(content(5, size)) if size else whole(b"x")
    entry = disk.journal.write(PREFIX, chunk, NOON)
    in_one = entry.in_one()
    part = Part.new(disk.files, 0, durable=True)

    part.fill(in_one.memory, in_one.size_bytes)
    part.complete()

    expected = content(5, size) if size else b"x"
    assert in_one.data_set == expected
    assert part.path.read_bytes() == PREFIX + expected
    assert part.path.name.endswith(f"-{len(PREFIX + expected)}.whole")


def test_a_file_system_without_direct_writes_is_written_to_as_any(disk, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.EINVAL, "Invalid argument")

    [entry] = disk.write(1)
    in_one = entry.in_one()
    part = Part.new(disk.files, 0, durable=True)
    monkeypatch.setattr("os.pwrite", refuse)

    part.fill(in_one.memory, in_one.size_bytes)
    part.complete()

    assert part.path.read_bytes() == PREFIX + content(1)
