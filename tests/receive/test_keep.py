"""What the keeper promises: refused early, kept whole, told truly; nothing lost, nothing left."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from io import BytesIO

import pytest
from blake3 import blake3
from pydicom import dcmread
from sqlalchemy.exc import DataError, OperationalError
from structlog.testing import capture_logs

from node.config.model import Receive, Storage
from node.domain import Standing
from node.errors import PermanentError, RejectedInstance
from node.receive.keep import Keeper
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.standing import Receipt
from tests.builders import ct_series
from tests.builders.disk import small_disks
from tests.builders.network import wait_until
from tests.builders.records import NOON, artifact
from tests.builders.wire import data_set_of, fragments, give, keep, request_for
from tests.receive.place import ROOM, SMALL_JOURNAL


def other_keeper(place, index):
    """A second keeper of the same place, with another index."""
    return Keeper(
        place.files,
        index,
        clock=lambda: NOON,
        receive=Receive(journal_bytes=SMALL_JOURNAL),
        storage=ROOM,
        slot=1,
    )


@pytest.fixture
def small_disk(tmp_path):
    with small_disks(tmp_path) as mount:
        yield mount


def test_an_instance_is_on_disk_and_in_the_index_byte_for_byte(place, ds):
    content = data_set_of(ds)

    assert keep(place.keeper, ds) is Receipt.NEW

    [instance] = place.kept(ds)
    stored = place.files.instance(instance.digest).read_bytes()
    assert stored.endswith(content)
    assert dcmread(BytesIO(stored)).SOPInstanceUID == ds.SOPInstanceUID
    assert instance.size_bytes == len(stored)
    assert place.files.path(instance.path).read_bytes() == stored
    assert (
        instance.digest
        == blake3(str(ds.file_meta.TransferSyntaxUID).encode() + b"\x1f" + content).hexdigest()
    )
    assert place.parts() == []


def test_fragments_may_be_overwritten_after_they_were_written(place, ds):
    content = data_set_of(ds)
    buffer = bytearray(64)
    incoming = place.keeper.open().begin(request_for(ds))
    for [piece] in fragments(content, 64):
        buffer[: len(piece)] = piece
        incoming.write([memoryview(buffer)[: len(piece)]])

    incoming.finish()
    assert incoming.hand_over().result(60) is Receipt.NEW
    assert place.stored()[0].read_bytes().endswith(content)


def test_more_fragments_at_once_than_the_system_takes_are_all_written(place, ds):
    content = data_set_of(ds)
    incoming = place.keeper.open().begin(request_for(ds))

    pieces = [piece for [piece] in fragments(content, 1)]
    assert len(pieces) > os.sysconf("SC_IOV_MAX")
    incoming.write(pieces)

    incoming.finish()
    assert incoming.hand_over().result(60) is Receipt.NEW
    assert place.stored()[0].read_bytes().endswith(content)


def test_room_for_the_next_data_set_is_made_from_the_second_on_and_used_or_given_up(place):
    parts = place.files.data_dir / "parts"
    intake = place.keeper.open()

    def receive(ds):
        incoming = intake.begin(request_for(ds))
        incoming.write([memoryview(data_set_of(ds))])
        incoming.finish()
        assert incoming.hand_over().result(60) is Receipt.NEW
        intake.make_ready()
        return len(list(parts.glob("*.part")))

    assert [receive(ds) for ds in ct_series(slices=4)] == [0, 1, 1, 1]
    intake.close()
    assert list(parts.iterdir()) == []
    assert len(place.stored()) == 4


def test_the_same_instance_again_is_one_instance(place, ds):
    keep(place.keeper, ds)

    assert keep(place.keeper, ds) is Receipt.DUPLICATE
    assert len(place.kept(ds)) == len(place.stored()) == 1
    assert place.parts() == []


def test_a_duplicate_mends_a_file_that_a_power_cut_has_emptied(place, ds):
    keep(place.keeper, ds)
    [stored] = place.stored()
    stored.write_bytes(b"")

    assert keep(place.keeper, ds) is Receipt.DUPLICATE
    assert stored.read_bytes().endswith(data_set_of(ds))


def test_a_discarded_data_set_leaves_nothing(place, ds):
    incoming = place.keeper.open().begin(request_for(ds))
    incoming.write([memoryview(data_set_of(ds))])

    incoming.discard()

    assert place.parts() == place.stored() == []
    assert place.index.list_studies() == []


@pytest.mark.parametrize("uid", ["", "1." + "2" * 127])
@pytest.mark.parametrize("which", ["sop_class_uid", "sop_instance_uid"])
def test_a_uid_that_is_empty_or_too_long_is_refused_before_the_data_set(place, ds, which, uid):
    with pytest.raises(RejectedInstance, match="expected 1 to 128") as refused:
        place.keeper.open().begin(request_for(ds, **{which: uid}))

    assert refused.value.status == 0xA900
    assert place.parts() == []


@pytest.mark.parametrize(
    ("which", "keyword"),
    [("sop_class_uid", "SOPClassUID"), ("sop_instance_uid", "SOPInstanceUID")],
)
def test_what_is_not_what_the_request_says_is_refused(place, ds, which, keyword):
    with pytest.raises(RejectedInstance, match=keyword) as refused:
        keep(place.keeper, ds, **{which: "1.2.3.4"})

    assert refused.value.status == 0xA900
    assert place.parts() == place.stored() == []


def test_what_is_no_data_set_is_refused(place, ds):
    incoming = place.keeper.open().begin(request_for(ds))
    incoming.write([memoryview(b"\xff" * 64)])

    with pytest.raises(RejectedInstance) as refused:
        incoming.finish()

    assert refused.value.status == 0xC000
    assert place.parts() == place.stored() == []


def test_a_data_set_that_is_too_large_is_refused_when_it_becomes_so(open_place, ds):
    place = open_place(max_object_bytes=1 << 20)
    incoming = place.keeper.open().begin(request_for(ds))
    incoming.write([memoryview(bytes(1 << 20))])

    with pytest.raises(RejectedInstance, match=r"receive\.max_object_bytes") as refused:
        incoming.write([memoryview(b"x")])
    incoming.discard()

    assert refused.value.status == 0xC001
    assert place.parts() == []


def test_a_uid_that_is_a_path_names_no_file(place, ds):
    path = "../../../etc/passwd"
    uid = str(ds.SOPInstanceUID)
    content = data_set_of(ds).replace(uid.encode(), path.ljust(len(uid), "x").encode())
    request = request_for(ds, sop_instance_uid=path.ljust(len(uid), "x"))
    incoming = place.keeper.open().begin(request)
    incoming.write([memoryview(content)])

    incoming.finish()
    assert incoming.hand_over().result(60) is Receipt.NEW
    assert [path.parent.parent.name for path in place.stored()] == ["instances"]


def test_an_own_result_that_is_marked_is_not_kept(place, ds):
    ds.Manufacturer = ds.ManufacturerModelName = "Wetread"

    assert keep(place.keeper, ds) is Receipt.OWN_RESULT
    assert place.index.returned_count(str(ds.StudyInstanceUID)) == 1
    assert place.parts() == place.stored() == []


def test_an_own_result_that_only_the_index_knows_is_not_kept(place, ds):
    Ledger(place.engine).record_artifacts(
        [artifact(sop_instance_uid=str(ds.SOPInstanceUID))], "key", NOON
    )

    assert keep(place.keeper, ds) is Receipt.OWN_RESULT
    assert place.parts() == place.stored() == []


def test_another_patient_is_kept_in_quarantine_logged_and_not_named(place):
    first, second = ct_series(slices=2)
    second.PatientID = "SOMEBODY-ELSE"
    keep(place.keeper, first)

    with capture_logs() as events:
        assert keep(place.keeper, second) is Receipt.QUARANTINED

    assert [one.standing for one in place.kept(first)] == [Standing.USED, Standing.QUARANTINED]
    [event] = [event for event in events if event["event"] == "instance.quarantined"]
    assert "PatientID" in event["reason"]
    assert "SOMEBODY" not in str(events)
    assert len(place.stored()) == 2


@pytest.mark.parametrize(
    ("policy", "kept", "standing"),
    [
        ("last", Receipt.NEW_VERSION, Standing.USED),
        ("first", Receipt.NEW_VERSION, Standing.SET_ASIDE),
        ("quarantine", Receipt.QUARANTINED, Standing.QUARANTINED),
    ],
)
def test_the_policy_decides_which_version_counts_and_keeps_all(
    open_place, ds, policy, kept, standing
):
    place = open_place(duplicate_uid=policy)
    keep(place.keeper, ds)
    ds.SeriesDescription = "Changed"

    assert keep(place.keeper, ds) is kept
    assert [one.standing for one in place.kept(ds)] == [Standing.USED, standing]
    assert len(place.stored()) == 2


def test_many_threads_keep_each_instance_once(place):
    images = ct_series(slices=12)
    found = []

    def send():
        for ds in images:
            found.append(keep(place.keeper, ds))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found.count(Receipt.NEW) == 12
    assert found.count(Receipt.DUPLICATE) == 36
    assert len(place.stored()) == len(place.kept(images[0])) == 12
    assert place.parts() == []


class Cut(Index):
    """An index whose connection breaks once, when its transaction has just been committed."""

    cuts = 1

    def record_instances(self, batch, duplicate_uid="last"):
        verdicts = super().record_instances(batch, duplicate_uid)
        if self.cuts:
            self.cuts -= 1
            lost = Exception("server closed the connection unexpectedly")
            raise OperationalError("COMMIT", {}, lost, connection_invalidated=True)
        return verdicts


def test_an_instance_whose_row_may_be_there_is_recorded_once(place, ds):
    keeper = other_keeper(place, Cut(place.engine))

    assert keep(keeper, ds) is Receipt.DUPLICATE
    keeper.close()

    [row] = place.kept(ds)
    assert place.files.instance(row.digest).read_bytes().endswith(data_set_of(ds))
    assert place.parts() == []


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_it_answers_before_the_index_knows_and_forgets_nothing(open_place, durability):
    place = open_place(durability=durability)
    images = ct_series(slices=12)

    for ds in images:
        give(place.keeper, ds)

    place.keeper.close()
    assert len(place.kept(images[0])) == len(place.stored()) == 12
    assert place.parts() == []


def test_it_refuses_more_while_the_database_is_away_and_then_goes_on(place):
    first, second = ct_series(slices=2)
    with place.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE studies RENAME TO elsewhere")

    kept = give(place.keeper, first)

    wait_until(lambda: refusal(place, second) == 0xA700, within_s=30, what="0xA700")
    with place.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO studies")
    wait_until(lambda: refusal(place, second) == 0, within_s=30, what="taking more")
    assert kept.result(60) is Receipt.NEW
    assert len(place.kept(first)) == 1
    assert place.parts() == []


def test_what_the_index_can_never_take_stays_on_disk(place, ds):
    class Picky(Index):
        def record_instances(self, batch, duplicate_uid="last"):
            raise DataError("INSERT", {}, Exception("no such value"))

    keeper = other_keeper(place, Picky(place.engine))
    kept = give(keeper, ds)

    with pytest.raises(DataError):
        kept.result(60)
    keeper.close()
    assert [part.suffix for part in place.parts()] == [".whole"]
    assert place.keeper.recover().adopted == 1
    assert len(place.kept(ds)) == 1


def test_a_nearly_full_disk_refuses_before_it_is_full_and_takes_again(small_disk, open_place, ds):
    folder = small_disk("size=16m")
    place = open_place(folder, storage=Storage(min_free_percent=50))
    keep(place.keeper, ds)
    filler = folder / "filler"
    filler.write_bytes(bytes(10 << 20))

    wait_until(lambda: refusal(place, ds) == 0xA700, within_s=30, what="0xA700")
    filler.unlink()
    wait_until(lambda: refusal(place, ds) == 0, within_s=30, what="taking more")


def test_a_full_disk_leaves_nothing_half_written(small_disk, open_place, ds):
    folder = small_disk("size=16m")
    place = open_place(folder)
    keep(place.keeper, ds)
    (folder / "filler").write_bytes(bytes(12 << 20))
    large = ct_series(slices=2)[1]
    large.PixelData = bytes(8 << 20)

    with pytest.raises(OSError, match="No space left") as raised:
        keep(place.keeper, large)

    assert raised.value.errno == errno.ENOSPC
    assert place.parts() == []
    assert len(place.stored()) == len(place.kept(ds)) == 1


def test_what_is_in_the_journal_when_the_disk_is_full_gets_its_file_when_there_is_room(
    small_disk, open_place, ds
):
    folder = small_disk("size=272m")
    place = open_place(folder)
    wait_until(lambda: place.keeper.is_ready, within_s=60, what="the journal")
    fill(folder / "filler")

    kept = give(place.keeper, ds)
    wait_until(lambda: refusal(place, ds) == 0xA700, within_s=30, what="0xA700")
    assert not kept.done()

    (folder / "filler").unlink()
    assert kept.result(60) is Receipt.NEW
    assert place.stored()[0].read_bytes().endswith(data_set_of(ds))
    wait_until(lambda: refusal(place, ds) == 0, within_s=30, what="taking more")
    assert place.parts() == []


def test_a_disk_that_gives_back_other_bytes_costs_that_instance_and_no_other(place):
    first, second, third = ct_series(slices=3)
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Index):
        def record_instances(self, batch, duplicate_uid="last"):
            begun.set()
            go_on.wait(30)
            return super().record_instances(batch, duplicate_uid)

    keeper = other_keeper(place, Slow(place.engine))
    wait_until(lambda: keeper.is_ready, within_s=60, what="the journal")
    kept = [give(keeper, first)]
    assert begun.wait(30)
    kept += [give(keeper, second), give(keeper, third)]
    [journal] = (place.folder / "journal").glob("*-1")
    content = journal.read_bytes()
    with journal.open("r+b") as stream:
        stream.seek(content.index(data_set_of(second)[-512:]))
        stream.write(b"other")

    with capture_logs() as events:
        go_on.set()
        with pytest.raises(PermanentError, match="does not give back"):
            kept[1].result(60)

    assert [kept[0].result(60), kept[2].result(60)] == [Receipt.NEW, Receipt.NEW]
    assert [event["event"] for event in events] == ["instance.damaged"]
    keeper.close()
    assert place.keeper.recover(2).adopted == 0
    assert len(place.stored()) == 2


def fill(file):
    """Write until there is no space."""
    with file.open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(4096)):
            pass


def refusal(place, ds):
    """The status that a data set is refused with before its first byte; 0 where it is not."""
    try:
        place.keeper.open().begin(request_for(ds)).discard()
    except RejectedInstance as error:
        return error.status
    return 0


def test_a_disk_without_inodes_takes_nothing_and_leaves_nothing(small_disk, open_place, ds):
    folder = small_disk("size=32m,nr_inodes=400")
    place = open_place(folder)
    keep(place.keeper, ds)
    for number in range(os.statvfs(folder).f_favail):
        (folder / f"filler-{number}").touch()

    with pytest.raises(OSError, match="No space left"):
        keep(place.keeper, ct_series(slices=2)[1])

    assert place.parts() == []
    for number in range(3):
        (folder / f"filler-{number}").unlink()
    assert keep(place.keeper, ct_series(slices=2)[1]) is Receipt.NEW
