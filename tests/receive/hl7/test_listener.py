"""What a RIS is answered, and when: AA only after the report is durable."""

from __future__ import annotations

import socket
import stat

import hl7.client
import pytest
import trustme

from node.config.model import Storage, Tls
from node.reports import ReportState, ReportStatus
from tests.builders.disk import small_disks
from tests.builders.hl7 import code, oru
from tests.receive.test_tls import client

pytestmark = pytest.mark.loopback


def test_a_report_is_accepted_and_its_text_lies_in_a_file_of_the_node_alone(desk):
    answer = desk.call().send(oru(["Large right pneumothorax."], control_id="A7"))

    assert "MSA|AA|A7" in answer
    [row] = desk.reports.newest()
    file = desk.files.path(row.text_path)
    assert file.read_text(encoding="utf-8") == "FINDINGS:\nLarge right pneumothorax."
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert row.state is ReportState.RECEIVED
    assert "CRANIUM1" not in repr(row)
    assert "ACC0001" not in repr(row)


def test_a_client_of_another_make_understands_the_answer(desk):
    with hl7.client.MLLPClient("127.0.0.1", desk.server.port) as ris:
        answer = hl7.parse(ris.send_message(oru(control_id="B1")).strip(b"\x0b\x1c\r").decode())

    assert str(answer["MSH.F9.R1.C1"]) == "ACK"
    assert (str(answer["MSA.F1"]), str(answer["MSA.F2"])) == ("AA", "B1")
    assert (str(answer["MSH.F5"]), str(answer["MSH.F3"])) == ("RIS", "WETREAD")


def test_the_same_message_twice_is_accepted_twice_and_kept_once(desk):
    ris = desk.call()

    assert [code(ris.send(oru())) for _ in range(3)] == ["AA"] * 3
    assert len(desk.reports.newest()) == 1


def test_a_message_sent_again_with_a_new_time_and_number_is_no_new_revision(desk):
    ris = desk.call()
    ris.send(oru(control_id="1", at="20260101120000"))

    assert code(ris.send(oru(control_id="2", at="20260101130000"))) == "AA"
    assert len(desk.reports.newest()) == 1


def test_a_correction_is_the_revision_that_counts(desk):
    ris = desk.call()
    ris.send(oru(["Pneumothorax."], control_id="1", status="P"))
    ris.send(oru(["No pneumothorax."], control_id="2", status="C", at="20260101130000"))

    rows = {row.revision: row for row in desk.reports.newest()}
    assert rows[1].state is ReportState.SUPERSEDED
    assert (rows[2].current, rows[2].status) == (True, ReportStatus.CORRECTED)


def test_a_revision_that_comes_too_late_does_not_count(desk):
    ris = desk.call()
    ris.send(oru(["Final."], control_id="2", at="20260101130000"))
    ris.send(oru(["Preliminary."], control_id="1", status="P", at="20260101120000"))

    assert [row.current for row in desk.reports.newest() if row.revision == 2] == [False]


def test_a_report_that_is_taken_back_says_nothing_any_more(desk):
    ris = desk.call()
    ris.send(oru(control_id="1"))
    ris.send(oru(control_id="2", status="X", observations=[], at="20260101130000"))

    rows = {row.revision: row.state for row in desk.reports.newest()}
    assert rows == {1: ReportState.SUPERSEDED, 2: ReportState.WITHDRAWN}


@pytest.mark.parametrize(
    ("message", "expected", "words"),
    [
        (oru(application="OTHER"), "AR", "accept_from"),
        (oru(kind="ADT^A01"), "AR", "message type"),
        (oru(kind="ORU^R30"), "AR", "trigger event"),
        (oru(accession=""), "AE", "nothing to join"),
        (oru(observations=[]), "AE", "no report text"),
        (oru(control_id=""), "AE", "MSH-10"),
        (b"this is no HL7", "AE", "MSH"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(desk, message, expected, words):
    answer = desk.call().send(message)

    assert code(answer) == expected
    assert words in answer
    assert "ERR|" in answer
    assert "Zebrafinch" not in answer
    assert desk.reports.newest() == []


def test_what_cannot_be_used_is_kept_in_quarantine(desk):
    message = oru(accession="")
    ris = desk.call()

    assert [code(ris.send(message)) for _ in range(2)] == ["AE", "AE"]
    [(digest, sender, _, problem)] = desk.messages.quarantined()
    kept = desk.files.path(f"reports/messages/{digest[:2]}/{digest}.hl7")
    assert kept.read_bytes() == message
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert (sender, "nothing to join" in problem) == ("RIS|HOSP", True)


def test_what_is_not_for_this_node_is_not_kept(desk):
    desk.call().send(oru(kind="ADT^A01"))

    assert desk.messages.quarantined() == []


def test_a_full_disk_is_answered_with_send_again_later(open_desk, tmp_path):
    with small_disks(tmp_path) as mount:
        folder = mount("size=64m")
        (folder / "ballast").write_bytes(bytes(50 * 2**20))
        desk = open_desk(folder=folder / "data", storage=Storage(min_free_percent=50))

        answer = desk.call().send(oru())

        assert (code(answer), "free" in answer) == ("AE", True)
        assert desk.reports.newest() == []
        desk.close()


def test_a_disk_that_fails_is_answered_with_send_again_later(desk):
    for folder in ("reports", "parts"):
        desk.files.path(folder).chmod(0o500)
        desk.files.path(folder).rename(desk.files.path(f"{folder}-gone"))

    answer = desk.call().send(oru())

    assert (code(answer), "send again later" in answer) == ("AE", True)
    assert desk.reports.newest() == []


def test_a_host_that_is_not_listed_is_hung_up_on(open_desk):
    desk = open_desk(accept_from=[{"host": "10.255.255.1"}])

    assert desk.call().answer() == ""


def test_several_messages_in_one_packet_are_answered_in_order(desk):
    ris = desk.call()
    packet = b"".join(
        b"\x0b" + oru(control_id=f"N{n}", accession=f"ACC{n}") + b"\x1c\r" for n in range(20)
    )

    ris.raw(packet)

    answers = [ris.answer() for _ in range(20)]
    assert [a.split("MSA|AA|")[1].split("|")[0] for a in answers] == [f"N{n}" for n in range(20)]


def test_a_message_byte_by_byte_is_a_message(desk):
    ris = desk.call()
    for byte in b"\x0b" + oru() + b"\x1c\r":
        ris.raw(bytes([byte]))

    assert code(ris.answer()) == "AA"


def test_a_caller_that_has_said_all_is_answered_still(desk):
    ris = desk.call()
    ris.raw(b"\x0b" + oru() + b"\x1c\r")
    ris.socket.shutdown(socket.SHUT_WR)

    assert code(ris.answer()) == "AA"


def test_over_tls_a_ris_with_a_certificate_is_welcome_and_nobody_else(open_desk, tmp_path):
    hospital, stranger = trustme.CA(), trustme.CA()
    own = hospital.issue_cert("127.0.0.1", "node")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    hospital.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = Tls(
        certificate=tmp_path / "certificate.pem",
        key=tmp_path / "key.pem",
        ca=tmp_path / "ca.pem",
    )
    desk = open_desk(tls=tls.model_dump())

    assert code(desk.call(tls=client(hospital, signed_by=hospital)).send(oru())) == "AA"
    assert is_refused(desk, client(hospital))
    assert is_refused(desk, client(hospital, signed_by=stranger))


def is_refused(desk, context):
    """TLS 1.3 tells a client late, and in many ways."""
    try:
        return desk.call(tls=context).send(oru()) == ""
    except OSError:
        return True
