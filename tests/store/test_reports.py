"""Revisions of reports, what they join, and what becomes of discordances, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.reports import (
    DiscordanceState,
    ReportDocument,
    ReportState,
    ReportStatus,
    ReportWay,
    Verdict,
)
from node.store.discordances import ComparisonRow, Discordances
from node.store.readings import Readings
from node.store.report_messages import ReportMessages
from node.store.report_rows import ReadingRow, accession_digest
from node.store.reports import FindingRow, Reports
from tests.builders.records import after

DOCUMENT = ReportDocument(
    way=ReportWay.HL7,
    sender="RIS|HOSP",
    identifier="ORDER1",
    status=ReportStatus.FINAL,
    text="",
    accession_numbers=("ACC1", "ACC2"),
    patient_ids=("CRANIUM1",),
    reported_at=after(0),
)
CONTRADICTION = ComparisonRow(
    model="m@1",
    concept="pneumothorax",
    laterality="",
    outcome="model only",
    reported="absent",
    modelled="present",
    value=12.5,
    measure="volume_ml",
    report_key="k" * 64,
    report_revision=1,
    run_key="r" * 64,
)


@pytest.fixture
def reports(engine):
    return Reports(engine)


@pytest.fixture
def readings(engine):
    return Readings(engine)


@pytest.fixture
def discordances(engine):
    return Discordances(engine)


def take_in(reports, text="a", seconds=0.0, **changes):
    document = replace(DOCUMENT, **changes)
    [taken] = reports.take_in([(document, f"reports/{text}.txt", text * 64)], after(seconds))
    return taken


def read(reports, taken):
    row = reports.get(taken.report_key, taken.revision)
    reports.record_findings(row, [], language="en", path="x.json", modality="CT")
    return reports.get(taken.report_key, taken.revision)


def study(readings, uid="1.2.3", accession="ACC1"):
    readings.look_at(ReadingRow(uid, 1, accession_digest(accession), "", "CT", "CHEST"))


def matches(reports):
    return [studies for _, studies in reports.matches(10)]


def test_the_same_words_again_are_no_revision(reports):
    assert [take_in(reports).revision, take_in(reports, seconds=5).revision] == [1, 1]


def test_other_words_or_another_status_are_the_next_revision(reports):
    take_in(reports)

    assert take_in(reports, "b").revision == 2
    assert take_in(reports, "b", status=ReportStatus.CORRECTED).revision == 3
    states = {row.revision: row.state for row in reports.newest()}
    assert states == {
        1: ReportState.SUPERSEDED,
        2: ReportState.SUPERSEDED,
        3: ReportState.RECEIVED,
    }


def test_a_revision_that_was_written_earlier_does_not_count(reports):
    take_in(reports, reported_at=after(100))
    late = take_in(reports, "b", reported_at=after(50))

    assert reports.get(late.report_key, 2).state is ReportState.SUPERSEDED
    assert [row.revision for row in reports.to_read(10)] == [1]


def test_without_times_the_order_of_arrival_decides(reports):
    take_in(reports, reported_at=None)
    take_in(reports, "b", reported_at=None)

    assert [row.revision for row in reports.to_read(10)] == [2]


def test_orders_of_other_senders_are_other_reports(reports):
    keys = {take_in(reports, sender=sender).report_key for sender in ("A", "B")}

    assert len(keys) == 2


@pytest.mark.parametrize("first", ["predecessor", "successor"])
def test_a_dicom_document_and_the_one_it_replaces_are_one_report_in_either_order(reports, first):
    old = {"source_uid": "1.1", "identifier": "1.1", "reported_at": None}
    new = {"source_uid": "1.2", "identifier": "1.2", "predecessor_uid": "1.1", "reported_at": None}
    order = [("a", old), ("b", new)] if first == "predecessor" else [("b", new), ("a", old)]

    keys = {take_in(reports, text, **document).report_key for text, document in order}

    assert len(keys) == 1
    [counts] = [row for row in reports.newest() if row.current]
    assert counts.source_uid == "1.2"


def test_nothing_that_identifies_anybody_is_in_the_rows(reports):
    taken = take_in(reports)

    shown = repr(reports.get(taken.report_key, 1))
    assert [word for word in ("CRANIUM1", "ACC1", "ORDER1") if word in shown] == []


def test_a_report_waits_for_the_study_with_one_of_its_accession_numbers(reports, readings):
    read(reports, take_in(reports))
    assert matches(reports) == []

    study(readings, "1.2.3", accession="acc2 ")

    assert matches(reports) == [["1.2.3"]]


def test_the_study_it_names_counts_before_the_accession_number(reports, readings):
    read(reports, take_in(reports, study_instance_uid="1.2.9"))
    study(readings, "1.2.3")
    study(readings, "1.2.9", accession="OTHER")

    assert matches(reports) == [["1.2.9"]]


def test_an_accession_number_of_two_studies_names_both(reports, readings):
    read(reports, take_in(reports))
    study(readings, "1.2.3")
    study(readings, "1.2.4")

    [found] = matches(reports)
    assert sorted(found) == ["1.2.3", "1.2.4"]


def test_what_has_not_been_read_does_not_match(reports, readings):
    take_in(reports)
    study(readings)

    assert matches(reports) == []


def test_joining_has_the_study_compared(reports, readings):
    row = read(reports, take_in(reports))
    study(readings)
    [(due, _)] = readings.due(10)
    readings.finish(due, "digest")
    assert readings.due(10) == []

    reports.join(row, "1.2.3")

    assert [row.study_instance_uid for row, _ in readings.due(10)] == ["1.2.3"]
    assert [row.state for row in reports.of_study("1.2.3")] == [ReportState.JOINED]


def test_a_correction_has_the_study_compared_again(reports, readings):
    reports.join(read(reports, take_in(reports)), "1.2.3")
    study(readings)
    [(due, _)] = readings.due(10)
    readings.finish(due, "digest")

    take_in(reports, "b", status=ReportStatus.WITHDRAWN)

    assert len(readings.due(10)) == 1
    assert reports.of_study("1.2.3") == []


def test_findings_that_are_recorded_again_replace_the_earlier_ones(reports):
    row = read(reports, take_in(reports))
    one = FindingRow(0, "nodule", "present", "recent", "left", "findings", "new", 3, 5, 11)

    for _ in range(2):
        reports.record_findings(row, [one], language="en", path="x.json", modality="CT")

    assert reports.findings(row) == [one]


def test_a_quarantined_report_is_let_in_once(reports):
    row = read(reports, take_in(reports))
    reports.set_state(row, ReportState.QUARANTINED, "another patient")

    assert [reports.release(row.report_key, 1) for _ in range(2)] == [True, False]
    assert reports.get(row.report_key, 1).released


def test_a_message_is_known_by_its_bytes(engine):
    messages = ReportMessages(engine)
    assert messages.problem("d" * 64) is None

    for problem in ("no text", "something else"):
        messages.record("d" * 64, "RIS|HOSP", "7", "path", problem, after(0))

    assert messages.problem("d" * 64) == "no text"
    assert [row[3] for row in messages.quarantined()] == ["no text"]


def test_a_contradiction_is_one_discordance_however_often_it_is_found(discordances):
    found = [discordances.record("1.2.3", [CONTRADICTION], after(n)) for n in range(3)]

    assert found == [(1, 0), (0, 0), (0, 0)]
    [row] = discordances.newest()
    assert (row.state, row.opened_at) == (DiscordanceState.OPEN, after(0))


def test_what_no_longer_contradicts_is_resolved_and_opens_again(discordances):
    agrees = replace(CONTRADICTION, outcome="agree", reported="present")

    steps = [[CONTRADICTION], [agrees], [], [CONTRADICTION]]
    found = [discordances.record("1.2.3", step, after(n)) for n, step in enumerate(steps)]

    assert found == [(1, 0), (0, 1), (0, 0), (1, 0)]
    [row] = discordances.newest()
    assert row.opened_at == after(3)


def test_a_verdict_stays_as_long_as_both_sides_say_the_same(discordances):
    discordances.record("1.2.3", [CONTRADICTION], after(0))
    [row] = discordances.newest()

    assert discordances.close(row.id, Verdict.MODEL_RIGHT, after(1))
    assert not discordances.close(row.id, Verdict.REPORT_RIGHT, after(2))
    assert discordances.record("1.2.3", [replace(CONTRADICTION, report_revision=2)], after(3)) == (
        0,
        0,
    )
    [closed] = discordances.newest(DiscordanceState.CLOSED)
    assert closed.verdict == "model right"

    turned = replace(CONTRADICTION, outcome="report only", reported="present")
    assert discordances.record("1.2.3", [turned], after(4)) == (1, 0)


def test_the_history_has_a_study_once_newest_first(discordances):
    agrees = replace(CONTRADICTION, outcome="agree", concept="nodule")
    nothing = replace(CONTRADICTION, outcome="not comparable")
    discordances.record("1.1", [agrees], after(0))
    discordances.record("1.2", [agrees, CONTRADICTION], after(1))
    discordances.record("1.3", [nothing], after(2))

    assert discordances.history(10) == {"m@1": [True, False]}
    # Compared again without a difference, it is not newer for that.
    discordances.record("1.1", [agrees], after(9))
    assert discordances.history(10) == {"m@1": [True, False]}
