"""The door, seen by a sender: real sockets, the statuses it gets, and what is kept."""

from __future__ import annotations

import errno
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from node.domain import MANUFACTURER
from tests.builders import ct_series, radiograph
from tests.builders.network import association, store_all
from tests.builders.records import NOON, artifact
from tests.receive.door import PRIVATE_SOP_CLASS, Door, receive
from tests.receive.wire import Wire, associate_request

pytestmark = pytest.mark.loopback


@pytest.fixture
def door(tmp_path):
    opened = Door(tmp_path, receive())
    yield opened
    opened.close()


def test_a_peer_that_is_known_is_welcome(door):
    with association(door.port) as opened:
        assert opened.is_established
        assert opened.send_c_echo().Status == 0x0000


@pytest.mark.parametrize(
    ("calling", "called", "diagnostic"),
    [
        ("CT1", "SOMEBODY", "called AE title not recognised"),
        ("STRANGER", "WETREAD", "calling AE title not recognised"),
        ("ELSEWHERE", "WETREAD", "calling AE title not recognised"),
    ],
)
def test_a_peer_is_rejected_at_association_with_the_reason(door, calling, called, diagnostic):
    with Wire(door.port) as wire:
        wire.send(associate_request(calling=calling, called=called))
        rejection = wire.read_pdu()

    result, source, reason = 1, 1, {"called": 7, "calling": 3}[diagnostic.split()[0]]
    assert rejection == bytes((3, 0, 0, 0, 0, 4, 0, result, source, reason))


def test_success_means_that_the_bytes_are_kept_as_they_came(door):
    datasets = ct_series(slices=3)

    assert store_all(door.port, datasets) == [0x0000] * 3

    kept = door.instances(datasets[0].StudyInstanceUID)
    assert len(kept) == 3
    for ds, instance in zip(datasets, kept, strict=True):
        stored = dcmread(door.files.path(instance.path))
        assert stored == ds
        assert stored.file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID


@pytest.mark.parametrize(
    "transfer_syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless],
)
def test_every_transfer_syntax_is_stored_as_it_comes(door, transfer_syntax):
    ds = ct_series(slices=1)[0]
    if transfer_syntax.is_compressed and transfer_syntax != DeflatedExplicitVRLittleEndian:
        ds.compress(transfer_syntax)
    else:
        ds.file_meta.TransferSyntaxUID = transfer_syntax
        if transfer_syntax == ExplicitVRBigEndian:
            # Big endian pixels, as the syntax wants them.
            ds.PixelData = ds.pixel_array.byteswap().tobytes()
            ds.set_original_encoding(is_implicit_vr=False, is_little_endian=False)

    assert store_all(door.port, [ds]) == [0x0000]

    (kept,) = door.instances(ds.StudyInstanceUID)
    assert kept.transfer_syntax_uid == transfer_syntax
    assert dcmread(door.files.path(kept.path)).file_meta.TransferSyntaxUID == transfer_syntax


def test_a_private_sop_class_is_accepted_where_the_configuration_allows_it(door):
    ds = ct_series(slices=1)[0]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = PRIVATE_SOP_CLASS

    assert store_all(door.port, [ds]) == [0x0000]


def test_a_retired_sop_class_that_archives_still_hold_is_accepted(door):
    ds = radiograph()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.6"

    assert store_all(door.port, [ds]) == [0x0000]


def test_a_private_sop_class_that_is_not_allowed_is_refused_in_its_context(tmp_path):
    door = Door(tmp_path, receive(private_sop_classes=()))
    ds = ct_series(slices=1)[0]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = PRIVATE_SOP_CLASS

    with association(door.port, [ds]) as opened:
        assert [str(c.abstract_syntax) for c in opened.rejected_contexts] == [PRIVATE_SOP_CLASS]
    door.close()


def test_the_same_image_sent_again_is_one_image(door):
    (ds,) = ct_series(slices=1)

    assert store_all(door.port, [ds, ds]) == [0x0000, 0x0000]
    assert len(door.instances(ds.StudyInstanceUID)) == 1


def test_other_bytes_under_the_same_uid_are_both_kept(door):
    (ds,) = ct_series(slices=1)
    store_all(door.port, [ds])
    ds.SeriesDescription = "corrected"
    store_all(door.port, [ds])

    kept = door.instances(ds.StudyInstanceUID)
    assert len(kept) == 2
    assert len({instance.path for instance in kept}) == 2


def test_a_data_set_of_another_instance_than_requested_is_refused(door):
    (ds,) = ct_series(slices=1)
    with association(door.port, [ds]) as opened:
        opened_store = opened.send_c_store
        ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
        raw = _with_requested_uid(opened, ds, "1.2.3.4")
        assert raw == 0xA900
        assert opened_store(ds).Status == 0x0000, "the association goes on"


def _with_requested_uid(opened, ds, requested):
    """Send a C-STORE request that names another SOP Instance UID than its data set."""
    context = next(c for c in opened.accepted_contexts if c.abstract_syntax == ds.SOPClassUID)
    request = C_STORE()
    request.MessageID = 77
    request.AffectedSOPClassUID = ds.SOPClassUID
    request.AffectedSOPInstanceUID = requested
    request.Priority = 2
    request.DataSet = BytesIO(encode(ds, False, True))
    opened._reactor_checkpoint.clear()
    opened.dimse.send_msg(request, context.context_id)
    _, response = opened.dimse.get_msg(block=True)
    opened._reactor_checkpoint.set()
    return response.Status


def test_an_instance_without_series_uid_is_refused_and_the_next_one_kept(door):
    first, second = ct_series(slices=2)
    del first.SeriesInstanceUID

    assert store_all(door.port, [first, second]) == [0xC000, 0x0000]


def test_a_full_disk_is_answered_with_out_of_resources_and_nothing_half_written(door, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    for call in ("os.fsync", "os.pwritev"):
        monkeypatch.setattr(call, full)
    (ds,) = ct_series(slices=1)

    assert store_all(door.port, [ds]) == [0xA700]
    assert list((door.folder / "parts").iterdir()) == []
    assert door.instances(ds.StudyInstanceUID) == []


def test_an_own_result_that_comes_back_is_acknowledged_and_not_an_input(door):
    ds = radiograph(Manufacturer=MANUFACTURER, ManufacturerModelName=MANUFACTURER)

    assert store_all(door.port, [ds]) == [0x0000]
    assert door.instances(ds.StudyInstanceUID) == []
    assert door.index.returned_count(ds.StudyInstanceUID) == 1


def test_an_own_result_is_known_by_its_uid_when_the_pacs_has_rewritten_its_equipment(door):
    ds = radiograph()
    door.ledger.record_artifacts([artifact(sop_instance_uid=ds.SOPInstanceUID)], "key", NOON)

    assert store_all(door.port, [ds]) == [0x0000]
    assert door.instances(ds.StudyInstanceUID) == []


def test_a_uid_with_path_elements_is_never_a_path(door):
    (ds,) = ct_series(slices=1)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        ds.StudyInstanceUID = "../../escaped-by-uid"

    assert store_all(door.port, [ds]) == [0x0000]

    assert list(door.folder.parent.rglob("*escaped-by-uid*")) == []


def test_one_association_more_than_allowed_is_rejected_as_transient(tmp_path):
    door = Door(tmp_path, receive(max_associations=1))
    with association(door.port) as first, Wire(door.port) as second:
        assert first.is_established
        second.send(associate_request())
        rejection = second.read_pdu()
        assert (rejection[0], rejection[7]) == (3, 2)
    door.close()
