"""What a sender must do, whoever wrote it: the node's own, and the one on pynetdicom."""

from __future__ import annotations

import os
from copy import deepcopy
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from pynetdicom import AllStoragePresentationContexts

from node.deliver import scu
from node.domain import DeliveryState
from node.errors import TransientError
from tests.builders import ct_series, write
from tests.builders.network import free_port, peer
from tests.builders.tools import need
from tests.deliver import pynetdicom_scu
from tests.deliver.peers import destination, storescp
from tests.pacs.orthanc import Orthanc

pytestmark = pytest.mark.loopback

ENCODINGS = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "RLE": RLELossless,
    "JPEG": JPEGBaseline8Bit,
}


@pytest.fixture(params=[scu, pynetdicom_scu], ids=["node", "pynetdicom"])
def sender(request):
    """Send files; gives the outcomes by path, in the order of the answers."""

    def send(paths, to):
        found = {}
        request.param.send(paths, to, "WETREAD", lambda p, outcome: found.__setitem__(p, outcome))
        return found

    return send


def encoded(encoding, folder, number=0):
    """A CT slice in one of the encodings; pixels do not matter where they are compressed."""
    ds = ct_series(slices=1, seed=f"{encoding} {number}")[0]
    ds.file_meta.TransferSyntaxUID = ENCODINGS[encoding]
    if encoding == "big endian":
        ds.PixelData = ds.pixel_array.byteswap().tobytes()
    if encoding in ("RLE", "JPEG"):
        ds.PixelData = encapsulate([os.urandom(3000)])
        ds["PixelData"].is_undefined_length = True
    implicit = encoding == "implicit"
    ds.set_original_encoding(implicit, encoding != "big endian")
    (path,) = write([ds], folder / f"{encoding} {number}")
    return path


def data_set(content):
    """What follows the file meta information."""
    file = BytesIO(content)
    meta = dcmread(file, stop_before_pixels=True, specific_tags=[]).file_meta
    return content[144 + meta.FileMetaInformationGroupLength :]


def delivered(found):
    return [o.state for o in found.values()] == [DeliveryState.DELIVERED] * len(found)


@pytest.mark.parametrize("max_pdu_bytes", [4096, 16382, 16384, 131072])
def test_the_bytes_of_the_file_arrive_at_dcmtk(sender, tmp_path, max_pdu_bytes):
    paths = [encoded(name, tmp_path) for name in ENCODINGS if name != "deflated"]
    paths += write(ct_series(slices=2, rows=128, columns=130, seed="large"), tmp_path / "large")
    port = free_port()
    with storescp(tmp_path / "stored", port, max_pdu_bytes=max_pdu_bytes) as to:
        found = sender(paths, to)

    assert delivered(found)
    stored = {data_set(file.read_bytes()) for file in (tmp_path / "stored").iterdir()}
    assert stored == {data_set(path.read_bytes()) for path in paths}


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_arrives_at_a_peer_that_takes_it_with_what_it_says(sender, tmp_path, name):
    path = encoded(name, tmp_path)
    with peer() as pacs:
        assert delivered(sender([path], destination(pacs.port)))

        [stored] = pacs.stored
    assert stored == dcmread(path)
    if name != "deflated":
        assert stored.file_meta.TransferSyntaxUID == ENCODINGS[name]


@pytest.mark.parametrize("name", ["implicit", "explicit", "deflated"])
@pytest.mark.parametrize("taken", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_native_encodings_are_converted_into_the_one_the_peer_takes(sender, tmp_path, name, taken):
    path = encoded(name, tmp_path)
    with peer(transfer_syntaxes=[taken]) as pacs:
        assert delivered(sender([path], destination(pacs.port)))

        [stored] = pacs.stored
    assert stored == dcmread(path)
    assert stored.file_meta.TransferSyntaxUID == taken


@pytest.mark.parametrize("name", ["big endian", "RLE", "JPEG"])
def test_what_cannot_be_converted_fails_by_name_and_the_others_go(sender, tmp_path, name):
    odd, plain = encoded(name, tmp_path), encoded("explicit", tmp_path)
    with peer(transfer_syntaxes=[ExplicitVRLittleEndian, ImplicitVRLittleEndian]) as pacs:
        found = sender([odd, plain], destination(pacs.port))

        assert len(pacs.stored) == 1
    assert found[odd].state is DeliveryState.FAILED
    assert ENCODINGS[name].name in found[odd].reason
    assert found[plain].state is DeliveryState.DELIVERED


def test_more_sop_classes_than_one_association_can_propose_all_arrive(sender, tmp_path):
    classes = [context.abstract_syntax for context in AllStoragePresentationContexts][:70]
    images = [deepcopy(image) for image in ct_series(slices=1) for _ in classes]
    for number, (image, sop_class_uid) in enumerate(zip(images, classes, strict=True), 1):
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class_uid
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
    paths = write(images, tmp_path)
    with peer() as pacs:
        found = sender(paths, destination(pacs.port))

        assert [str(ds.SOPClassUID) for ds in pacs.stored] == classes
        assert pacs.associations == 2
    assert delivered(found)


def test_every_outcome_is_that_of_its_own_object(sender, tmp_path):
    paths = write(ct_series(slices=4), tmp_path)
    statuses = [0x0000, 0xB000, 0xA700, 0xC123]
    with peer(answer=lambda ds: statuses[int(ds.InstanceNumber) - 1]) as pacs:
        found = sender(paths, destination(pacs.port))

    assert [found[path].status for path in paths] == statuses


def test_the_destination_sees_the_calling_ae_title_it_is_to_see(sender, tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)
    with peer() as pacs:
        sender([path], destination(pacs.port))
        sender([path], destination(pacs.port, calling_ae_title="OTHER"))

        assert pacs.calling == ["WETREAD", "OTHER"]


def test_nobody_at_the_port_is_a_transient_error_that_names_it(sender, tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)

    with pytest.raises(TransientError, match=r"MAINPACS at 127\.0\.0\.1:\d+ cannot be reached"):
        sender([path], destination(free_port()))


def test_a_peer_of_another_name_is_a_transient_error_that_says_rejected(sender, tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)

    with peer(ae_title="OTHER") as pacs, pytest.raises(TransientError, match="rejected"):
        sender([path], destination(pacs.port))


def test_what_arrived_before_an_abort_is_reported_and_the_rest_is_a_transient_error(
    sender, tmp_path
):
    paths = write(ct_series(slices=3), tmp_path)
    seen = []
    with peer() as pacs:
        pacs.abort_at = lambda ds: ds.InstanceNumber == 2
        with pytest.raises(TransientError, match="MAINPACS"):
            seen.append(sender(paths, destination(pacs.port)))

        assert [int(ds.InstanceNumber) for ds in pacs.stored] == [1]


@pytest.mark.pacs
def test_the_bytes_of_the_file_arrive_at_orthanc(sender, orthanc, tmp_path):
    names = [name for name in ENCODINGS if name != "deflated"]
    paths = [encoded(name, tmp_path, number=tmp_path.name) for name in names]
    to = destination(orthanc.port, ae_title="ORTHANC")

    assert delivered(sender(paths, to))

    for path in paths:
        ds = dcmread(path)
        [identifier] = orthanc.instances(ds.StudyInstanceUID).values()
        assert dcmread(BytesIO(orthanc.download(f"/instances/{identifier}/file"))) == ds


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    need(Orthanc.missing())
    running = Orthanc(tmp_path_factory.mktemp("orthanc"), free_port())
    try:
        running.start()
        yield running
    finally:
        running.stop()
