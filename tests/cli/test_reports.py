"""``wetread reports`` and ``wetread discordances``, in words, JSON and exit codes."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from node.app.stores import open_stores
from node.cli.main import cli
from node.config.load import load_config
from node.reports import ReportState
from node.work.report_reading import read_report
from tests.builders.hl7 import oru
from tests.builders.pdf import pdf
from tests.builders.records import NOON, after
from tests.cli.test_commands import write_config
from tests.store.test_reports import CONTRADICTION


@pytest.fixture
def config_file(tmp_path):
    path = write_config(tmp_path, 104)
    path.write_text(path.read_text() + "reports: {}\n")
    return path


@pytest.fixture
def wetread(config_file):
    """Run a command on the configuration and give its result."""

    def run(*arguments):
        return CliRunner().invoke(cli, [*map(str, arguments), "--config", str(config_file)])

    return run


@pytest.fixture
def stores(config_file):
    opened = open_stores(load_config(config_file))
    yield opened
    opened.close()


@pytest.fixture
def file(tmp_path):
    """Writes a report into a file."""

    def write(content, name="report.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(stores):
    """Read every report, as the desk does."""
    for row in stores.reports.to_read(10):
        read_report(stores.files, stores.reports, row, "CT")


@pytest.mark.parametrize(
    "content", ["Right pneumothorax.", pdf("Right pneumothorax."), oru(["Right pneumothorax."])]
)
def test_a_report_from_a_file_is_read_and_shown_with_its_evidence(wetread, stores, file, content):
    added = wetread("reports", "add", file(content), "--accession", "ACC1")
    assert added.exit_code == 0
    key = added.output.split()[1].strip(",")
    read(stores)

    [shown] = json.loads(wetread("reports", "show", key, "--json").output)

    [found] = [one for one in shown["findings"] if one["concept"] == "pneumothorax"]
    assert shown["text"][found["start"] : found["end"]].lower() == "pneumothorax"
    assert (found["presence"], found["laterality"]) == ("present", "right")
    assert "patients" not in shown


def test_the_same_file_again_is_there_already_and_another_one_is_the_next_revision(wetread, file):
    for content, words in (("a", "revision 1"), ("a", "there already"), ("b", "revision 2")):
        added = wetread("reports", "add", file(content), "--study", "1.2.3")
        assert words in added.output


def test_a_file_without_a_study_is_refused_with_what_is_missing(wetread, file):
    added = wetread("reports", "add", file("Pneumothorax."))

    assert added.exit_code == 1
    assert "accession number or a study" in added.output
    assert "Pneumothorax" not in added.output


def test_words_are_shown_only_when_asked_for(wetread, stores, file):
    wetread("reports", "add", file("Seen by Doctor Quagga: nodule."), "--study", "1.2.3")
    read(stores)

    assert "Quagga" not in wetread("reports", "show", "1.2.3").output
    assert "nodule" in wetread("reports", "show", "1.2.3").output
    assert "Quagga" in wetread("reports", "show", "1.2.3", "--text").output
    assert "Quagga" not in wetread("reports", "list").output


def test_what_is_in_quarantine_is_listed_with_its_reason_and_let_in(wetread, stores, file):
    wetread("reports", "add", file("Nodule."), "--study", "1.2.3")
    [row] = stores.reports.newest()
    stores.reports.set_state(row, ReportState.QUARANTINED, "its study is of another patient")
    stores.report_messages.record("d" * 64, "RIS|HOSP", "1", "x", "no report text", NOON)

    listed = json.loads(wetread("reports", "quarantine", "--json").output)
    assert {one["reason"] for one in listed} == {
        "its study is of another patient",
        "no report text",
    }
    assert wetread("reports", "release", row.report_key[:12]).exit_code == 0
    assert wetread("reports", "release", row.report_key[:12]).exit_code == 1
    [row] = stores.reports.newest()
    assert (row.state, row.released) == (ReportState.WAITING, True)


def test_a_discordance_is_listed_shown_and_closed_with_a_verdict(wetread, stores):
    stores.discordances.record("1.2.3", [CONTRADICTION], NOON)
    [listed] = json.loads(wetread("discordances", "list", "--json").output)

    shown = wetread("discordances", "show", listed["id"][:6])
    assert "model only" in shown.output
    assert wetread("discordances", "close", listed["id"]).exit_code == 2
    closed = wetread("discordances", "close", listed["id"], "--verdict", "model right")

    assert closed.exit_code == 0
    assert json.loads(wetread("discordances", "list", "--json").output) == []
    [one] = json.loads(wetread("discordances", "list", "--state", "closed", "--json").output)
    assert one["verdict"] == "model right"
    again = wetread("discordances", "close", listed["id"], "--verdict", "report right")
    assert (again.exit_code, "not open" in again.output) == (1, True)
    assert wetread("discordances", "show", "ffff").exit_code == 1


def test_drift_ends_with_one_and_without_drift_with_nought(wetread, stores):
    agrees = type(CONTRADICTION)(**{**vars(CONTRADICTION), "outcome": "agree"})
    for number in range(100):
        stores.discordances.record(f"1.{number}", [agrees], after(number))
    assert wetread("discordances", "drift").exit_code == 0

    for number in range(100, 200):
        stores.discordances.record(f"1.{number}", [CONTRADICTION], after(number))
    alarmed = wetread("discordances", "drift", "--json")

    assert alarmed.exit_code == 1
    assert json.loads(alarmed.output)["m@1"]["alarm"]


def test_text_goes_into_a_file_that_only_the_node_reads(wetread, stores, file):
    wetread("reports", "add", file("Nodule."), "--study", "1.2.3")
    read(stores)
    kept = [path for path in (stores.files.data_dir / "reports").rglob("*") if path.is_file()]

    assert len(kept) == 2
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}
