"""After a crash at any point: what was acknowledged is there, and nothing half is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.receive.recovery import Recovered
from node.store.file_meta import file_meta
from node.store.ledger import Ledger
from node.store.leftover import content_of, digest_of
from node.store.part import Part, successor_of
from node.store.standing import Receipt
from tests.builders import ct_series
from tests.builders.disk import disks_in_files
from tests.builders.records import NOON, artifact
from tests.builders.wire import data_set_of, keep, request_for
from tests.receive.killed import IMAGES
from tests.receive.place import SMALL_JOURNAL

ROOT = Path(__file__).parents[2]


def half(place, slot=0):
    """A part that was being written."""
    part = Part.new(place.files, slot, durable=True)
    part.append([b"half a file"])
    os.close(part.descriptor)
    return part.path


def whole(place, ds, slot=0):
    """A part that was acknowledged, and that the index does not have yet."""
    request = request_for(ds)
    meta = file_meta(
        request.sop_class_uid,
        request.sop_instance_uid,
        request.transfer_syntax_uid,
        request.calling_ae_title,
    )
    part = Part.new(place.files, slot, durable=True)
    part.append([meta, data_set_of(ds)])
    part.complete()
    return part.path


def placed(place, ds):
    """A part that has its place as well."""
    part = Part(place.files, whole(place, ds))
    part.publish(digest_of(part.path, content_of(part.path)))
    return part.path


def test_a_start_after_a_proper_end_finds_nothing_to_do(place, ds):
    keep(place.keeper, ds)

    assert place.keeper.recover() == Recovered()


def test_what_is_half_written_is_swept(place):
    half(place)

    assert place.keeper.recover() == Recovered(swept=1)
    assert place.parts() == place.stored() == []


def test_what_is_whole_is_adopted_as_it_came(place, ds):
    part = whole(place, ds)
    os.utime(part, (1_700_000_000, 1_700_000_000))

    assert place.keeper.recover() == Recovered(adopted=1)

    [instance] = place.kept(ds)
    assert instance.sop_instance_uid == ds.SOPInstanceUID
    assert instance.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID
    assert instance.calling_ae_title == "CT1"
    assert instance.received_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert instance.size_bytes == place.stored()[0].stat().st_size
    assert place.stored() == [place.files.path(instance.path)]
    assert place.parts() == []
    assert keep(place.keeper, ds) is Receipt.DUPLICATE


@pytest.mark.parametrize("left", [whole, placed])
def test_what_is_whole_and_in_the_index_only_loses_its_first_name(place, ds, left):
    keep(place.keeper, ds)
    before = place.kept(ds)
    left(place, ds)

    assert place.keeper.recover() == Recovered(adopted=1)
    assert place.kept(ds) == before
    assert len(place.stored()) == 1
    assert place.parts() == []


@pytest.mark.parametrize("left", [whole, placed])
@pytest.mark.parametrize("size", [0, 1000])
def test_what_a_power_cut_has_cut_off_is_removed_under_all_names(place, ds, left, size):
    keep(place.keeper, ct_series(slices=2)[1])
    os.truncate(left(place, ds), size)

    assert place.keeper.recover() == Recovered(damaged=1)
    assert place.parts() == []
    assert len(place.stored()) == 1


def test_what_a_power_cut_has_filled_with_zeros_is_removed(place, ds):
    damaged = whole(place, ds)
    damaged.write_bytes(bytes(damaged.stat().st_size))

    assert place.keeper.recover() == Recovered(damaged=1)
    assert place.parts() == place.stored() == []
    assert place.index.list_studies() == []


def test_a_replacement_that_was_not_carried_out_is_carried_out(place, ds):
    keep(place.keeper, ds)
    [stored] = place.stored()
    content = stored.read_bytes()
    part = whole(place, ds)
    os.link(part, successor_of(part))
    stored.write_bytes(b"what a power cut has left")

    # The successor's name is swept, and the part takes its place anew.
    assert place.keeper.recover() == Recovered(swept=1, adopted=1)
    assert stored.read_bytes() == content
    assert place.parts() == []


def test_an_own_result_among_them_is_not_kept(place, ds):
    Ledger(place.engine).record_artifacts(
        [artifact(sop_instance_uid=str(ds.SOPInstanceUID))], "key", NOON
    )
    whole(place, ds)

    place.keeper.recover()

    assert place.parts() == place.stored() == []
    assert place.index.returned_count(str(ds.StudyInstanceUID)) == 1


def test_a_receiver_looks_after_its_own_slot_and_the_first_after_those_that_are_gone(open_place):
    first, second = open_place(slot=0), open_place(slot=1)
    paths = [half(first, slot) for slot in range(4)]

    assert second.keeper.recover(processes=2) == Recovered(swept=1)
    assert not paths[1].exists()
    assert first.keeper.recover(processes=2) == Recovered(swept=3)
    assert first.parts() == []


def test_another_host_s_parts_and_results_stay(place):
    others = [
        place.folder / "parts" / name
        for name in (
            f"other-instances-0-{'a' * 32}.part",
            f"{socket.gethostname()}-results-{'a' * 32}.part",
        )
    ]
    for other in others:
        other.touch()

    assert place.keeper.recover() == Recovered()
    assert all(other.exists() for other in others)


def test_parts_of_version_0_1_are_swept(place):
    (place.folder / "parts" / f"{socket.gethostname()}-instances-{'a' * 32}.part").touch()

    assert place.keeper.recover() == Recovered(swept=1)


def test_more_parts_than_are_handed_over_at_once_are_all_adopted(place):
    images = ct_series(slices=70)
    for ds in images:
        whole(place, ds)

    assert place.keeper.recover() == Recovered(adopted=70)
    assert len(place.kept(images[0])) == len(place.stored()) == 70


def test_what_the_index_does_not_take_waits_for_the_next_start(open_place, ds):
    place = open_place()
    whole(place, ds)
    with place.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE studies RENAME TO elsewhere")

    assert place.keeper.recover() == Recovered(failed=1)

    with place.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO studies")
    assert place.keeper.recover() == Recovered(adopted=1)
    assert len(place.kept(ds)) == 1


POINTS = {
    ("full", 0): [
        ("fsync", "before", 3, 1),
        ("fsync", "after", 3, 1),
        ("rename", "before", 2, 1),
        ("rename", "after", 2, 2),
        ("link", "before", 2, 1),
        ("link", "after", 2, 2),
        ("unlink", "before", 2, 2),
        ("unlink", "after", 2, 2),
    ],
    ("relaxed", 0): [
        ("rename", "before", 2, 1),
        ("rename", "after", 2, 2),
        ("link", "before", 2, 1),
        ("link", "after", 2, 2),
        ("unlink", "before", 1, 1),
        ("unlink", "after", 1, 1),
        ("unlink", "before", 3, 3),
    ],
    ("full", SMALL_JOURNAL): [
        ("pwritev", "before", 2, 1),
        ("pwritev", "after", 2, 2),
        ("pwrite", "before", 1, 1),
        ("pwrite", "after", 3, 3),
        ("ftruncate", "after", 1, 1),
        ("rename", "before", 1, 1),
        ("rename", "after", 2, 2),
        ("fsync", "before", 1, 1),
        ("fsync", "after", 1, 1),
        ("link", "before", 2, 2),
        ("link", "after", 2, 2),
        ("unlink", "before", 2, 2),
        ("unlink", "after", 2, 2),
    ],
    ("relaxed", SMALL_JOURNAL): [
        ("pwritev", "before", 2, 1),
        ("pwritev", "after", 2, 2),
        ("writev", "after", 3, 3),
        ("rename", "before", 2, 2),
        ("link", "after", 2, 2),
        ("unlink", "before", 1, 1),
        ("unlink", "before", 3, 3),
    ],
}
"""Function, before or after its call of that number; images that are there then at least.

For each image that goes to a file at once: it is renamed as whole, its bytes are synced, the
folder is synced, it is acknowledged, linked to its place, committed, and unlinked in ``parts/``;
relaxed without the syncs. With a journal: it is written there and acknowledged; then a file is
written, renamed, linked, synced, committed and unlinked."""


CUTS = [
    (SMALL_JOURNAL, "pwritev", "after", 3),
    (SMALL_JOURNAL, "pwrite", "after", 1),
    (SMALL_JOURNAL, "link", "after", 2),
    (SMALL_JOURNAL, "fsync", "after", 2),
    (SMALL_JOURNAL, "unlink", "after", 1),
    (0, "link", "after", 2),
    (0, "fsync", "after", 4),
    (0, "unlink", "before", 1),
]
"""Size of the journal, function, before or after its call of that number."""


@pytest.mark.parametrize(
    ("durability", "journal_bytes", "function", "when", "number", "least"),
    [(*kind, *point) for kind, points in POINTS.items() for point in points],
)
def test_a_kill_at_any_point_loses_nothing_and_leaves_nothing(
    open_place, tmp_path, durability, journal_bytes, function, when, number, least
):
    acknowledged = kill(tmp_path, durability, journal_bytes, function, when, number)

    place = open_place(durability=durability, journal_bytes=journal_bytes)
    place.keeper.recover()

    assert whole_and_once(place, acknowledged) >= least


@pytest.mark.parametrize(("journal_bytes", "function", "when", "number"), CUTS)
def test_a_power_cut_at_any_point_loses_nothing_and_leaves_nothing(
    open_place, tmp_path, journal_bytes, function, when, number
):
    with disks_in_files(tmp_path) as mount:
        disk = mount(None)
        acknowledged = kill(disk.place, "full", journal_bytes, function, when, number)

        after = mount(disk.image)

        place = open_place(after.place, journal_bytes=journal_bytes)
        place.keeper.recover()
        assert whole_and_once(place, acknowledged) >= len(acknowledged)
        place.close()


def kill(folder, durability, journal_bytes, function, when, number):
    """Let a process receive and die there; return the numbers of the images it acknowledged."""
    killed = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.receive.killed",
            str(folder),
            durability,
            str(journal_bytes),
            function,
            when,
            str(number),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert killed.returncode == -9, killed.stderr
    return [int(line) for line in killed.stdout.splitlines() if line.isdigit()]


def whole_and_once(place, acknowledged):
    """Check that what was acknowledged is there, byte for byte and once; return how many are."""
    images = ct_series(slices=IMAGES)
    rows = place.kept(images[0])
    uids = [row.sop_instance_uid for row in rows]
    assert len(rows) == len(set(uids))
    assert {str(images[number].SOPInstanceUID) for number in acknowledged} <= set(uids)
    assert sorted(place.files.instance(row.digest) for row in rows) == place.stored()
    assert place.parts() == []
    contents = {str(ds.SOPInstanceUID): data_set_of(ds) for ds in images}
    for row in rows:
        path = place.files.instance(row.digest)
        assert path.read_bytes().endswith(contents[row.sop_instance_uid])
        assert digest_of(path, content_of(path)) == row.digest
    return len(rows)
