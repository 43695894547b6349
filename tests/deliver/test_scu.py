"""Results on their way out, against peers that take them, refuse them, or are not there."""

from __future__ import annotations

import pytest
from pydicom import dcmread
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.config.destination import DimseDestination
from node.deliver.answer import judge
from node.deliver.scu import echo, send
from node.domain import DeliveryState
from node.errors import TransientError
from tests.builders import ct_series, radiograph, write
from tests.builders.network import free_port, peer

pytestmark = pytest.mark.loopback


def destination(port, **difference):
    plain = {"ae_title": "MAINPACS", "host": "127.0.0.1", "port": port, "timeout_s": 5}
    return DimseDestination(**{**plain, **difference})


def outcomes(paths, to):
    found = {}
    send(paths, to, "WETREAD", lambda path, outcome: found.__setitem__(path, outcome))
    return found


def test_every_object_arrives_over_one_association(tmp_path):
    paths = write([*ct_series(slices=3), radiograph()], tmp_path)
    with peer() as pacs:
        found = outcomes(paths, destination(pacs.port))

        assert {o.state for o in found.values()} == {DeliveryState.DELIVERED}
        assert pacs.associations == 1
        assert len(pacs.stored) == 4


def test_a_peer_that_takes_only_implicit_vr_gets_implicit_vr(tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)
    with peer(transfer_syntaxes=[ImplicitVRLittleEndian]) as pacs:
        found = outcomes([path], destination(pacs.port))

        assert found[path].state is DeliveryState.DELIVERED
        assert pacs.stored[0] == dcmread(path)
        assert pacs.stored[0].file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def big_endian(folder):
    """A CT slice as Explicit VR Big Endian, its pixels swapped as the syntax wants."""
    (ds,) = ct_series(slices=1)
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.PixelData = ds.pixel_array.byteswap().tobytes()
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=False)
    (path,) = write([ds], folder)
    return path


def test_a_big_endian_object_arrives_with_the_pixels_it_has(tmp_path):
    path = big_endian(tmp_path)
    with peer() as pacs:
        found = outcomes([path], destination(pacs.port))

        assert found[path].state is DeliveryState.DELIVERED
        assert (pacs.stored[0].pixel_array == dcmread(path).pixel_array).all()


def test_a_big_endian_object_is_not_sent_to_a_peer_that_takes_little_endian_only(tmp_path):
    path = big_endian(tmp_path)
    with peer(transfer_syntaxes=[ExplicitVRLittleEndian, ImplicitVRLittleEndian]) as pacs:
        found = outcomes([path], destination(pacs.port))

        assert found[path].state is DeliveryState.FAILED
        assert pacs.stored == []


def test_a_sop_class_the_peer_does_not_take_fails_by_name_and_the_others_arrive(tmp_path):
    ct, cr = write([ct_series(slices=1)[0], radiograph()], tmp_path)
    with peer(sop_classes=[CTImageStorage], transfer_syntaxes=[ExplicitVRLittleEndian]) as pacs:
        found = outcomes([cr, ct], destination(pacs.port))

    assert found[ct].state is DeliveryState.DELIVERED
    assert found[cr].state is DeliveryState.FAILED
    assert "does not accept SOP class" in found[cr].reason


def test_a_peer_that_takes_no_sop_class_fails_every_object_for_good(tmp_path):
    (cr,) = write([radiograph()], tmp_path)
    with peer(sop_classes=[CTImageStorage]) as pacs:
        assert outcomes([cr], destination(pacs.port))[cr].state is DeliveryState.FAILED


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0x0000, DeliveryState.DELIVERED),
        (0xB000, DeliveryState.DELIVERED),
        (0xB007, DeliveryState.DELIVERED),
        (0xA700, DeliveryState.WAITING),
        (0x0110, DeliveryState.WAITING),
        (0xA900, DeliveryState.FAILED),
        (0xC123, DeliveryState.FAILED),
        (0x0122, DeliveryState.FAILED),
        (0x0124, DeliveryState.FAILED),
    ],
)
def test_a_status_means_delivered_later_or_never(status, state):
    assert judge(status).state is state


def test_a_full_pacs_is_tried_again(tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)
    with peer(answer=lambda _ds: 0xA700) as pacs:
        outcome = outcomes([path], destination(pacs.port))[path]

    assert (outcome.state, outcome.status) == (DeliveryState.WAITING, 0xA700)


def test_a_pacs_that_is_down_is_a_transient_error_that_names_it(tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)

    with pytest.raises(TransientError, match=r"MAINPACS at 127\.0\.0\.1"):
        outcomes([path], destination(free_port()))


def test_a_pacs_that_does_not_know_the_node_says_so(tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)
    with peer(ae_title="OTHER") as pacs, pytest.raises(TransientError, match="rejected"):
        outcomes([path], destination(pacs.port))


def test_what_arrived_before_the_association_broke_is_known(tmp_path):
    first, second = write(ct_series(slices=2), tmp_path)
    seen = {}
    with peer() as pacs:

        def report(path, outcome):
            seen[path] = outcome
            raise ConnectionResetError("the network is gone")

        with pytest.raises(ConnectionResetError):
            send([first, second], destination(pacs.port), "WETREAD", report)

    assert list(seen) == [first]


def test_echo_is_answered_by_a_peer_and_fails_by_name_without_one():
    with peer() as pacs:
        echo(destination(pacs.port), "WETREAD")
    with pytest.raises(TransientError, match="MAINPACS"):
        echo(destination(pacs.port), "WETREAD")
