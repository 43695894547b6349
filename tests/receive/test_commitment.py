"""Storage commitment at the door: reports of archives, and requests of peers."""

from __future__ import annotations

import threading

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt

from node.config.model import Peer
from node.dimse.commitment import (
    ALL_COMMITTED,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    SOME_FAILED,
    action_information,
    event_information,
    read_report,
)
from node.domain import DeliveryState, Outcome, Proof, ProofMethod
from node.receive.scp import StorageScp
from tests.builders import ct_series
from tests.builders.network import store_all, wait_until
from tests.builders.records import NOON, artifact
from tests.receive.door import Door, receive

pytestmark = pytest.mark.loopback


@pytest.fixture
def door(tmp_path):
    peers = (
        Peer(ae_title="CT1", host="127.0.0.1"),
        Peer(ae_title="PACS", host="127.0.0.1"),
    )
    running = Door(tmp_path, receive(accept_from=peers))
    yield running
    running.close()


class Caller:
    """A peer that opens an association for storage commitment."""

    def __init__(self, port, title="PACS", *, roles=(), max_pdu=16382):
        self.reports = []
        self.reported = threading.Event()
        ae = AE(title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
        ae.add_requested_context(PUSH_MODEL)
        self.association = ae.associate(
            "127.0.0.1",
            port,
            ae_title="WETREAD",
            max_pdu=max_pdu,
            ext_neg=list(roles),
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on_report)],
        )

    def _on_report(self, event):
        self.reports.append((event.event_type, read_report(event.event_information)))
        self.reported.set()
        return 0x0000, None

    def report(self, information, event_type=ALL_COMMITTED, instance=PUSH_MODEL_INSTANCE):
        """The status of the answer."""
        answer, _ = self.association.send_n_event_report(
            information, event_type, PUSH_MODEL, instance
        )
        return answer.Status

    def ask(self, transaction_uid, instances, action_type=1):
        """The status of the answer."""
        answer, _ = self.association.send_n_action(
            action_information(transaction_uid, instances),
            action_type,
            PUSH_MODEL,
            PUSH_MODEL_INSTANCE,
        )
        return answer.Status

    def release(self):
        self.association.release()


AS_PROVIDER = (build_role(PUSH_MODEL, scu_role=False, scp_role=True),)


def asked(door, *numbers):
    """A transaction about objects that were delivered."""
    door.ledger.record_artifacts([artifact(n) for n in numbers], "key", NOON)
    for number in numbers:
        door.ledger.record_outcome(
            f"2.25.{number}",
            "pacs",
            Outcome(DeliveryState.DELIVERED, 0, ""),
            NOON,
            prove=True,
        )
    proofs = door.ledger.proofs
    proofs.make_requests("pacs", ProofMethod.STORAGE_COMMITMENT, NOON)
    (request,) = proofs.due("pacs", NOON, 60)
    return request.transaction_uid


def proofs(door):
    rows = door.ledger.deliveries("1.2.3", 1)
    return {int(row.sop_instance_uid.split(".")[-1]): row.proof for row in rows}


def reference(number):
    return "1.2.840.10008.5.1.4.1.1.66.4", f"2.25.{number}"


@pytest.mark.parametrize("roles", [AS_PROVIDER, ()], ids=["role selection", "without"])
def test_an_archive_reports_on_an_association_of_its_own(door, roles):
    transaction_uid = asked(door, 1, 2)
    archive = Caller(door.port, roles=roles)
    information = event_information(transaction_uid, [reference(1)], {reference(2): 0x0112})
    if not roles:
        # pynetdicom itself does not let a requestor report without the role.
        archive.association.accepted_contexts[0]._as_scp = True

    assert archive.report(information, SOME_FAILED) == 0x0000
    assert archive.report(information, SOME_FAILED) == 0x0000
    archive.release()

    assert proofs(door) == {1: Proof.PROVEN, 2: Proof.AWAITED}
    waiting = door.ledger.deliveries("1.2.3", 1, state=DeliveryState.WAITING)
    assert [row.sop_instance_uid for row in waiting] == ["2.25.2"]


def test_the_answer_to_a_role_selection_says_which_roles(door):
    archive = Caller(door.port, roles=AS_PROVIDER)

    (context,) = archive.association.accepted_contexts
    archive.release()

    assert (context.as_scu, context.as_scp) == (False, True)


@pytest.mark.parametrize(
    ("information", "instance", "status"),
    [
        (event_information("2.25.99", [reference(1)], {}), PUSH_MODEL_INSTANCE, 0x0115),
        (Dataset(), PUSH_MODEL_INSTANCE, 0x0115),
        (event_information("2.25.99", [reference(1)], {}), "1.2.3", 0x0112),
    ],
    ids=["unknown transaction", "no transaction", "another instance"],
)
def test_every_report_gets_its_answer(door, information, instance, status):
    asked(door, 1)
    if not len(information):
        information.PatientComments = "nothing of use"
    archive = Caller(door.port, roles=AS_PROVIDER)

    assert archive.report(information, instance=instance) == status
    archive.release()

    assert proofs(door) == {1: Proof.AWAITED}


def test_a_report_of_an_unknown_event_is_no_report(door):
    transaction_uid = asked(door, 1)
    archive = Caller(door.port, roles=AS_PROVIDER)

    assert archive.report(event_information(transaction_uid, [reference(1)], {}), 3) == 0x0113
    archive.release()

    assert proofs(door) == {1: Proof.AWAITED}


def test_an_unknown_action_is_refused(door):
    peer = Caller(door.port, "PACS")

    assert peer.ask("2.25.5", [reference(1)], action_type=2) == 0x0123
    peer.release()

    assert unreported(door, "PACS") == []


def test_a_report_that_the_database_does_not_take_may_come_again(door):
    transaction_uid = asked(door, 1)
    archive = Caller(door.port, roles=AS_PROVIDER)
    information = event_information(transaction_uid, [reference(1)], {})
    with door.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE proof_requests RENAME TO away")

    assert archive.report(information) == 0x0110
    with door.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO proof_requests")
    assert archive.report(information) == 0x0000
    archive.release()

    assert proofs(door) == {1: Proof.PROVEN}


def test_ten_associations_at_once_report_the_same(door):
    transaction_uid = asked(door, 1)
    information = event_information(transaction_uid, [reference(1)], {})
    archives = [Caller(door.port, roles=AS_PROVIDER) for _ in range(10)]
    found = []
    threads = [
        threading.Thread(target=lambda a=a: found.append(a.report(information))) for a in archives
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for each in archives:
        each.release()

    assert found == [0x0000] * 10
    assert proofs(door) == {1: Proof.PROVEN}


@pytest.mark.parametrize("max_pdu", [128, 16382, 0])
def test_a_peer_is_told_the_truth_on_the_association_of_its_request(door, max_pdu):
    images = ct_series(slices=2)
    assert store_all(door.port, images) == [0x0000] * 2
    kept = [(CTImageStorage, str(ds.SOPInstanceUID)) for ds in images]
    missing, mistaken = (CTImageStorage, generate_uid()), (PUSH_MODEL, kept[1][1])
    peer = Caller(door.port, "CT1", max_pdu=max_pdu)

    assert peer.ask("2.25.5", [*kept[:1], missing, mistaken]) == 0x0000
    assert peer.reported.wait(60)
    wait_until(lambda: not unreported(door, "CT1"), within_s=20, what="the answer to the report")
    peer.release()

    ((event_type, report),) = peer.reports
    assert event_type == SOME_FAILED
    assert report.committed == (kept[0][1],)
    assert report.failed == {missing[1]: 0x0112, mistaken[1]: 0x0119}


def unreported(door, title):
    return door.commitments.unreported([title], NOON)


def test_a_peer_is_told_at_once_that_all_is_kept(door):
    images = ct_series(slices=2)
    store_all(door.port, images)
    kept = [(CTImageStorage, str(ds.SOPInstanceUID)) for ds in images]
    peer = Caller(door.port, "CT1")

    peer.ask("2.25.5", kept)
    assert peer.reported.wait(60)
    peer.release()

    ((event_type, report),) = peer.reports
    assert event_type == ALL_COMMITTED
    assert set(report.committed) == {uid for _, uid in kept}


def test_an_instance_whose_file_is_gone_is_not_committed_to(door):
    images = ct_series(slices=1)
    store_all(door.port, images)
    (kept,) = door.instances(images[0].StudyInstanceUID)
    (door.folder / kept.path).unlink()

    judgement = door.commitments.judge([(kept.sop_class_uid, kept.sop_instance_uid)])

    assert list(judgement.failed.values()) == [0x0112]


def test_a_peer_that_asks_again_is_told_again(door):
    images = ct_series(slices=1)
    store_all(door.port, images)
    for _ in range(2):
        peer = Caller(door.port, "CT1")
        peer.ask("2.25.5", [(CTImageStorage, str(images[0].SOPInstanceUID))])
        assert peer.reported.wait(60)
        peer.release()

        ((event_type, _),) = peer.reports
        assert event_type == ALL_COMMITTED


def test_a_request_that_was_told_and_is_made_again_waits_again(door):
    wanted = [(CTImageStorage, "1.2.3")]
    for _ in range(2):
        door.commitments.record("2.25.5", "PACS", wanted, NOON)
        (request,) = unreported(door, "PACS")
        assert request.instances == tuple(wanted)
        door.commitments.note_reported("2.25.5", "PACS", NOON)
        assert unreported(door, "PACS") == []


def test_another_encoding_than_is_read_is_not_accepted(door):
    ae = AE("CT1")
    ae.add_requested_context(PUSH_MODEL, DeflatedExplicitVRLittleEndian)

    association = ae.associate("127.0.0.1", door.port, ae_title="WETREAD")

    assert [c.result for c in association.rejected_contexts] == [4]
    association.abort()


def test_a_peer_that_has_an_address_is_left_to_the_work_process(door):
    peer = Caller(door.port, "PACS")

    assert peer.ask("2.25.5", [(CTImageStorage, "1.2.3")]) == 0x0000
    peer.release()

    (request,) = unreported(door, "PACS")
    assert request.instances == ((CTImageStorage, "1.2.3"),)
    assert peer.reports == []


@pytest.mark.parametrize("wanted", [[], None])
def test_a_request_for_nothing_is_refused(door, wanted):
    peer = Caller(door.port, "CT1")

    assert peer.ask("2.25.5" if wanted is not None else "", wanted or []) == 0x0115
    peer.release()


def test_a_stranger_cannot_report(door):
    transaction_uid = asked(door, 1)
    stranger = Caller(door.port, "STRANGER", roles=AS_PROVIDER)

    assert not stranger.association.is_established
    assert transaction_uid
    assert proofs(door) == {1: Proof.AWAITED}


def test_a_door_without_the_service_does_not_accept_it(tmp_path, door):
    scp = StorageScp(receive(), door.keeper)
    scp.start()
    try:
        assert not Caller(scp.port, "CT1").association.is_established
    finally:
        scp.stop()
