"""Reports and images meet at the node, in either order, whatever is killed in between."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from node.domain import DeliveryState
from node.reports import DiscordanceState, ReportState
from tests.builders import ct_series
from tests.builders.hl7 import Sender, code, oru
from tests.builders.network import Peer, free_port, store_all, wait_until
from tests.node.running import RunningNode

pytestmark = pytest.mark.loopback

NO_PNEUMOTHORAX = ["The lungs look unremarkable to Doctor Quagga.", "No pneumothorax."]
PNEUMOTHORAX = ["Large right pneumothorax, seen by Doctor Quagga."]
PATIENT_WORDS = ("Quagga", "Zebrafinch", "unremarkable to", "seen by")


class Told(BaseHTTPRequestHandler):
    """Takes what the node posts."""

    def do_POST(self):
        self.server.posts.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture(scope="module")
def told():
    server = HTTPServer(("127.0.0.1", 0), Told)
    server.posts = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def pacs():
    running = Peer()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory, pacs, told):
    running = RunningNode(
        tmp_path_factory.mktemp("reports"),
        pacs.port,
        reports={
            "hl7": {
                "host": "127.0.0.1",
                "port": free_port(),
                "accept_from": [{"host": "127.0.0.1", "sending_application": "RIS"}],
            },
            "send_findings_to": ["pacs"],
            "send_discordances_to": ["pacs"],
            "notify": {"url": f"http://127.0.0.1:{told.server_port}/"},
        },
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


def send(node, lines, accession, **options):
    """Send a report as a RIS does; return whether it was accepted."""
    hl7 = node.config.reports.hl7

    def answered():
        try:
            ris = Sender(hl7.port)
        except ConnectionError:
            return False
        try:
            return code(ris.send(oru(lines, accession=accession, **options))) == "AA"
        finally:
            ris.close()

    wait_until(answered, within_s=30, what="AA")


def study(name):
    """A CT whose AccessionNumber is its name."""
    images = ct_series(slices=4, seed=name, AccessionNumber=name, PatientID="CRANIUM1")
    return images, str(images[0].StudyInstanceUID)


def described(pacs, uid, words):
    """Objects of a study by what their series says they are."""
    return [ds for ds in pacs.of(uid) if words in ds.SeriesDescription]


def words_of(ds):
    """Every text in a content tree."""
    found, todo = [], [ds]
    while todo:
        item = todo.pop()
        found.append(str(item.get("TextValue", "")))
        todo += list(item.get("ContentSequence", []))
    return " ".join(found)


def discordance(node, uid):
    """State of the one discordance of a study; None as long as there is none."""
    found = node.stores.discordances.of_study(uid)
    assert len(found) <= 1
    return found[0].state if found else None


def wait_for_state(node, uid, state):
    wait_until(
        lambda: discordance(node, uid) is state, within_s=90, what=f"{state} ({node.log_file})"
    )


def all_delivered(node, uid):
    rows = node.stores.ledger.deliveries(uid, node.stores.index.study(uid).revision)
    return rows and all(row.state is DeliveryState.DELIVERED for row in rows)


def test_a_report_that_contradicts_the_model_and_is_corrected(node, pacs, told):
    images, uid = study("ACCFIRST")

    send(node, NO_PNEUMOTHORAX, "ACCFIRST", control_id="F1")
    wait_until(
        lambda: node.stores.reports.counts_by_state().get(ReportState.WAITING),
        within_s=60,
        what="the report waits for its study",
    )
    store_all(node.port, images)
    node.settled(uid)
    wait_for_state(node, uid, DiscordanceState.OPEN)
    wait_until(
        lambda: described(pacs, uid, "discordance") and described(pacs, uid, "report findings"),
        within_s=60,
        what="the objects",
    )

    assert len(described(pacs, uid, "report findings")) == 1
    [first] = described(pacs, uid, "discordance")
    assert "Report: absent. Model: present" in words_of(first)
    assert first.PatientID == "CRANIUM1"
    wait_until(lambda: told.posts, within_s=30, what="somebody is told")
    assert json.loads(told.posts[0])["concept"] == "pneumothorax"
    assert not any(words in "".join(told.posts) for words in ("CRANIUM", uid, "ACCFIRST"))

    send(node, PNEUMOTHORAX, "ACCFIRST", control_id="F2", status="C", at="20260102120000")
    wait_for_state(node, uid, DiscordanceState.RESOLVED)
    wait_until(
        lambda: (
            len(described(pacs, uid, "discordance")) == 2
            and len(described(pacs, uid, "report findings")) == 2
        ),
        within_s=60,
        what="the objects of the correction",
    )
    last = described(pacs, uid, "discordance")[-1]
    assert "resolved" in words_of(last)
    [predecessor] = last.PredecessorDocumentsSequence
    [series] = predecessor.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert_no_patient_words(node)


def test_a_report_that_comes_after_the_images_and_a_killed_work_process(node, pacs):
    images, uid = study("ACCLATER")
    store_all(node.port, images)
    node.settled(uid)

    send(node, NO_PNEUMOTHORAX, "ACCLATER", control_id="L1", study=uid)
    node.process("work").kill()
    node.process("hl7").kill()

    wait_for_state(node, uid, DiscordanceState.OPEN)
    wait_until(lambda: described(pacs, uid, "discordance"), within_s=60, what="the object")
    wait_until(lambda: all_delivered(node, uid), within_s=60, what="everything is delivered")
    first = {}
    for ds in pacs.of(uid):
        assert first.setdefault(str(ds.SOPInstanceUID), ds) == ds
    kinds = [ds.SeriesDescription for ds in first.values()]
    assert sum("report findings" in each for each in kinds) == 1
    assert sum("discordance" in each for each in kinds) == 1


def test_a_report_of_another_patient_does_not_join(node):
    images, uid = study("ACCOTHER")
    store_all(node.port, images)
    node.settled(uid)

    send(node, PNEUMOTHORAX, "ACCOTHER", control_id="O1", patient="SOMEBODYELSE")

    wait_until(
        lambda: node.stores.reports.newest(ReportState.QUARANTINED),
        within_s=60,
        what="it is in quarantine",
    )
    assert node.stores.reports.of_study(uid) == []


def test_a_study_without_a_report_has_no_discordance(node):
    images, uid = study("ACCALONE")
    store_all(node.port, images)
    node.settled(uid)
    wait_until(lambda: node.stores.readings.get(uid), within_s=60, what="it was looked at")

    assert discordance(node, uid) is None


def assert_no_patient_words(node: RunningNode) -> None:
    """Nothing that a report or a message says is in the log."""
    log = node.log_file.read_text(encoding="utf-8", errors="replace")
    assert "report.joined" in log
    assert [words for words in PATIENT_WORDS if words in log] == []
