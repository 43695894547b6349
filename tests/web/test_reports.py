"""What the status site shows of reports: never their words, unless it is told to."""

from __future__ import annotations

import pytest

from node.config.reports import Drift
from node.report.file import read_file
from node.reports import ReportState
from node.store.database import database_url, open_database
from node.store.discordances import Discordances
from node.store.files import Files
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.quarantine import Quarantine
from node.store.report_keeping import keep_documents
from node.store.reports import Reports
from node.web.app import build
from node.web.reports import ReportView
from node.work.report_reading import read_report
from tests.builders.records import NOON, after
from tests.store.test_reports import CONTRADICTION
from tests.web.site import Browser, Past

TEXT = "Large <b>right</b> pneumothorax."


class Site:
    """A site over a study with a report and a discordance."""

    def __init__(self, folder, *, show_text=False):
        self.engine = open_database(database_url("sqlite", folder))
        self.index, ledger = Index(self.engine), Ledger(self.engine)
        self.reports, self.discordances = Reports(self.engine), Discordances(self.engine)
        files = Files(folder)
        Past(self.index, ledger, Quarantine(self.engine)).received("1.2.3")
        keep_documents(
            files, self.reports, read_file(TEXT.encode(), study_instance_uid="1.2.3"), NOON
        )
        [row] = self.reports.to_read(1)
        read_report(files, self.reports, row, "CT")
        [row] = self.reports.newest(ReportState.WAITING)
        self.reports.join(row, "1.2.3")
        self.discordances.record("1.2.3", [CONTRADICTION], NOON)
        view = ReportView(self.reports, self.discordances, files, Drift(), show_text)
        quarantine = Quarantine(self.engine)
        self.browser = Browser(build(self.index, ledger, quarantine, reports=view))


@pytest.fixture
def open_site(tmp_path):
    opened = []

    def start(**options):
        opened.append(Site(tmp_path, **options))
        return opened[-1]

    yield start
    for site in opened:
        site.engine.dispose()


def test_the_list_says_how_many_discordances_are_open(open_site):
    page = open_site().browser.get("/").text

    assert "1 open discordance" in page


def test_a_study_shows_its_report_its_findings_and_what_they_contradict(open_site):
    page = open_site().browser.get("/studies/1.2.3").text

    assert "pneumothorax" in page
    assert "joined" in page
    assert "model only" in page


def test_the_words_are_not_shown(open_site):
    site = open_site()

    for path in ("/", "/studies/1.2.3", "/discordances"):
        assert "<b>" not in site.browser.get(path).text
        assert "&lt;b&gt;" not in site.browser.get(path).text
        assert "Large" not in site.browser.get(path).text


def test_the_words_of_a_finding_are_shown_where_the_configuration_says_so(open_site):
    page = open_site(show_text=True).browser.get("/studies/1.2.3").text

    assert "“pneumothorax”" in page


def test_the_work_list_has_open_discordances_and_reports_without_a_study(open_site):
    site = open_site()
    [document] = read_file(b"Nodule.", accession_number="ACC9")
    site.reports.take_in([(document, "x.txt", "e" * 64)], after(1))
    [row] = site.reports.to_read(1)
    site.reports.set_state(row, ReportState.FAILED, "no text: the PDF holds none")

    page = site.browser.get("/discordances").text

    assert "1.2.3" in page
    assert "12.5 volume_ml" in page
    assert "no text: the PDF holds none" in page
    assert "ACC9" not in page


def test_a_node_that_reads_no_reports_has_no_such_page(tmp_path):
    engine = open_database(database_url("sqlite", tmp_path))
    browser = Browser(build(Index(engine), Ledger(engine), Quarantine(engine)))

    assert browser.get("/discordances").status == 404
    assert "discordances" not in browser.get("/").text
    engine.dispose()


def test_agreement_is_measured(open_site):
    metrics = open_site().browser.get("/metrics").text

    assert 'wetread_reports{state="joined"} 1.0' in metrics
    assert 'wetread_discordances{model="m@1",state="open"} 1.0' in metrics
    assert 'wetread_comparisons{model="m@1",outcome="model only"} 1.0' in metrics
    assert 'wetread_discordant_share{model="m@1",period="window"} 1.0' in metrics
    assert 'wetread_agreement_drift{model="m@1"} 0.0' in metrics
