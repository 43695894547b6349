"""The desk, step by step: what is sent to whom, what fails, and what a second try changes."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from structlog.testing import capture_logs

from node.app.report_desk import open_report_desk
from node.app.stores import open_stores
from node.config.reports import Drift, Notify
from node.domain import DeliveryState
from node.report.file import read_file
from node.reports import DiscordanceState, ReportState
from node.store.files import own_prefix
from node.store.report_keeping import keep_documents
from node.work.drifting import DriftWatch
from node.work.notifying import Notifier
from tests.builders import ct_series
from tests.builders.records import NOON, after
from tests.builders.sr import FINDINGS, container, structured_report, text_item
from tests.store.test_reports import CONTRADICTION

EVERYTHING = {"send_findings_to": ["pacs"], "send_discordances_to": ["pacs"]}


class Desk:
    """A node by hand that reads reports."""

    def __init__(self, node):
        self.node = node
        self.stores = open_stores(node.config)
        self.desk = open_report_desk(node.config, self.stores, node._pool.catalogue, lambda: None)

    def add(self, text, accession="ACC-1"):
        documents = read_file(text.encode(), accession_number=accession)
        return keep_documents(self.stores.files, self.stores.reports, documents, NOON)

    def work_off(self):
        """Until there is nothing more to do."""
        while self.desk.work_off():
            pass

    def states(self):
        return sorted(row.state.value for row in self.stores.reports.newest())

    def discordances(self):
        return [row.state for row in self.stores.discordances.newest(None)]

    def objects(self, uid):
        """Model and path of what waits besides the model's results."""
        rows = self.stores.ledger.deliveries(uid, 1, state=DeliveryState.WAITING)
        return sorted((row.model, row.path) for row in rows if row.model.startswith("report-"))

    def close(self):
        self.stores.close()


@pytest.fixture
def open_desk(open_node):
    opened = []

    def start(**reports):
        opened.append(Desk(open_node(reports=reports)))
        return opened[-1]

    yield start
    for desk in opened:
        desk.close()


def study(desk, seed="compared", **changes):
    images = ct_series(slices=4, seed=seed, **changes)
    uid = desk.node.complete(images)
    desk.node.make(uid)
    return uid


def test_unless_it_is_told_so_the_node_sends_nothing_of_reports(open_desk):
    desk = open_desk()
    uid = study(desk)
    desk.add("No pneumothorax.")
    desk.work_off()

    assert desk.discordances() == [DiscordanceState.OPEN]
    assert desk.objects(uid) == []


def test_findings_and_discordance_are_written_once(open_desk):
    desk = open_desk(**EVERYTHING)
    uid = study(desk)
    desk.add("No pneumothorax.")
    desk.work_off()
    first = desk.objects(uid)
    content = [desk.stores.files.path(path).read_bytes() for _, path in first]

    desk.stores.readings.make_due(uid)
    desk.work_off()

    assert [model for model, _ in first] == ["report-discordance", "report-findings"]
    assert desk.objects(uid) == first
    assert [desk.stores.files.path(path).read_bytes() for _, path in first] == content


def test_objects_that_were_written_and_not_recorded_are_written_again_the_same(open_desk):
    desk = open_desk(**EVERYTHING)
    uid = study(desk)
    desk.add("No pneumothorax.")
    recorded = desk.stores.ledger.record_artifacts
    desk.stores.ledger.record_artifacts = _fails_once(recorded)
    with pytest.raises(OSError, match="killed"):
        desk.work_off()
    folder = desk.stores.files.data_dir / "results"
    before = {path.name: path.read_bytes() for path in folder.rglob("reports/*.dcm")}

    desk.work_off()

    after_all = {path.name: path.read_bytes() for path in folder.rglob("reports/*.dcm")}
    assert before == after_all
    assert len(desk.objects(uid)) == 2


def _fails_once(function):
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError("killed here")
        return function(*arguments)

    return call


def test_a_report_whose_text_is_gone_fails_with_a_reason_and_the_others_go_on(open_desk):
    desk = open_desk()
    study(desk)
    [lost] = desk.add("Nodule.", accession="OTHER")
    desk.stores.files.path(desk.stores.reports.get(lost.report_key, 1).text_path).unlink()
    desk.add("No pneumothorax.")

    desk.work_off()

    assert desk.states() == ["failed", "joined"]
    [failed] = desk.stores.reports.newest(ReportState.FAILED)
    assert "internal error: FileNotFoundError" in failed.reason


def test_a_report_that_ends_the_process_again_and_again_is_given_up(open_desk):
    desk = open_desk()
    desk.add("Nodule.")
    for _ in range(5):
        [row] = desk.stores.reports.to_read(1)
        desk.stores.reports.begin(row)

    desk.work_off()

    assert desk.states() == ["failed"]


def test_the_accession_number_of_two_studies_says_nothing(open_desk):
    desk = open_desk()
    study(desk, "one")
    study(desk, "two")
    desk.add("No pneumothorax.")

    desk.work_off()

    [row] = desk.stores.reports.newest()
    assert (row.state, "2 studies" in row.reason) == (ReportState.WAITING, True)


def test_a_structured_report_among_the_images_is_read(open_desk):
    desk = open_desk(**EVERYTHING)
    images = ct_series(slices=4, seed="with report")
    report = structured_report(container(FINDINGS, text_item("No pneumothorax.")), study=images[0])
    uid = desk.node.complete([*images, report])
    desk.node.make(uid)

    desk.work_off()

    assert desk.discordances() == [DiscordanceState.OPEN]
    [row] = desk.stores.reports.of_study(uid)
    assert row.source_uid == report.SOPInstanceUID


def test_a_document_that_cannot_be_read_does_not_stop_its_study(open_desk):
    desk = open_desk()
    images = ct_series(slices=4, seed="empty report")
    uid = desk.node.complete([*images, structured_report(study=images[0])])
    desk.node.make(uid)

    with capture_logs() as logged:
        desk.work_off()

    assert [e["event"] for e in logged if e["event"] == "document.not_read"]
    assert desk.stores.readings.get(uid).revision == 1


def test_what_a_crash_left_of_a_report_is_swept_away_and_what_is_being_written_is_not(open_node):
    node = open_node(reports={})
    parts = node.config.data_dir / "parts"
    names = [f"{own_prefix('reports/x')}{name}.part" for name in ("old", "new")]
    for name in names:
        (parts / name).write_bytes(b"half")
    os.utime(parts / names[0], (0, 0))

    Desk(node).close()

    assert [path.name for path in parts.glob("*.part")] == names[1:]


def test_a_study_whose_file_is_gone_does_not_stop_the_others(open_desk):
    desk = open_desk()
    lost = study(desk, "lost", AccessionNumber="LOST")
    for image in desk.stores.index.study_instances(lost):
        desk.stores.files.instance(image.digest).unlink()
    study(desk, "there")
    desk.add("No pneumothorax.")

    desk.work_off()

    assert desk.states() == ["joined"]
    assert "FileNotFoundError" in desk.stores.readings.problems()[lost]


def test_a_released_report_joins_the_study_it_was_kept_from(open_desk):
    desk = open_desk()
    uid = study(desk, PatientID="SOMEBODY")
    [document] = read_file(b"No pneumothorax.", accession_number="ACC-1")
    document = replace(document, patient_ids=("SOMEBODY ELSE",))
    keep_documents(desk.stores.files, desk.stores.reports, [document], NOON)
    desk.work_off()
    [row] = desk.stores.reports.newest()
    assert row.state is ReportState.QUARANTINED

    desk.stores.reports.release(row.report_key, row.revision)
    desk.work_off()

    assert [row.state for row in desk.stores.reports.of_study(uid)] == [ReportState.JOINED]


def test_a_finding_that_no_report_can_speak_of_is_named_at_the_start(open_node):
    rule = {
        "name": "CT",
        "when": {"Modality": "CT"},
        "run": ["tiny-segment"],
        "send_to": ["pacs"],
        "findings": {"pneumotorax": {"present_from": 1}},
    }
    with capture_logs() as logged:
        Desk(open_node(reports={}, rules=[rule])).close()

    assert [e["concept"] for e in logged if e["event"] == "concept.unknown"] == ["pneumotorax"]


def test_thresholds_of_the_rule_count_before_those_of_the_package(open_node):
    rule = {
        "name": "CT",
        "when": {"Modality": "CT"},
        "run": ["tiny-segment"],
        "send_to": ["pacs"],
        "findings": {"pneumothorax": {"present_from": 1e9, "absent_below": 0.0}},
    }
    desk = Desk(open_node(reports={}, rules=[rule]))
    uid = study(desk)
    desk.add("No pneumothorax.")
    desk.work_off()

    [found] = desk.stores.discordances.comparisons(uid)
    assert (found.modelled, found.outcome) == ("undecided", "not comparable")
    desk.close()


class Strange(BaseHTTPRequestHandler):
    """An address that answers as the test wants."""

    def do_POST(self):
        self.server.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture
def address():
    server = HTTPServer(("127.0.0.1", 0), Strange)
    server.posts, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def notifier(desk, port):
    notify = Notify(url=f"http://127.0.0.1:{port}/hook", timeout_s=5)
    desk.stores.discordances.record("1.2.3", [CONTRADICTION], after(0))
    return Notifier(notify, desk.stores.discordances)


def test_somebody_is_told_once_and_nothing_about_a_patient(open_desk, address):
    tell = notifier(open_desk(), address.server_port)

    for seconds in (1, 2):
        tell.notify(after(seconds))

    [post] = address.posts
    assert sorted(post) == ["concept", "id", "laterality", "model", "opened_at", "outcome"]


@pytest.mark.parametrize("status", [500, 302, 404])
def test_an_address_that_does_not_take_it_is_asked_again_later(open_desk, address, status):
    tell = notifier(open_desk(), address.server_port)
    address.answers = [status]

    for seconds in (1, 2, 40):
        tell.notify(after(seconds))

    assert len(address.posts) == 2


def test_an_address_that_never_answers_is_given_up_after_three_days(open_desk, address):
    port = address.server_port
    desk = open_desk()
    tell = notifier(desk, port)
    address.answers = [500] * 10

    tell.notify(after(1))
    tell.notify(after(4 * 86400))

    assert desk.stores.discordances.to_notify(after(9 * 86400), 10) == []


def test_drift_is_said_when_it_begins_and_when_it_ends(open_desk):
    desk = open_desk()
    agrees = {"outcome": "agree", "reported": "present"}
    for number in range(80):
        steady = number < 40
        row = type(CONTRADICTION)(**{**vars(CONTRADICTION), **(agrees if steady else {})})
        desk.stores.discordances.record(f"1.{number}", [row], after(number))
    watch = DriftWatch(Drift(window_studies=40, baseline_studies=40), desk.stores.discordances)

    with capture_logs() as logged:
        watch.look(0.0)
        watch.look(61.0)
        for number in range(40, 80):
            row = type(CONTRADICTION)(**{**vars(CONTRADICTION), **agrees})
            desk.stores.discordances.record(f"1.{number}", [row], after(100 + number))
        watch.look(122.0)

    assert [e["event"] for e in logged] == ["agreement.drifting", "agreement.steady"]
