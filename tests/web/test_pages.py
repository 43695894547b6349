"""What a person sees who opens the status site."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import partial
from html.parser import HTMLParser

import pytest

from node.domain import DeliveryState, StudyState
from node.store.database import metadata
from node.store.files import Files
from node.store.lane import LaneInfo, read_lane, write_lane
from node.web.app import build
from tests.web.site import Browser, after

VOID = {"meta", "link", "br"}
ATTACK = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """The words, the links and the elements of a page; every element is closed."""

    def __init__(self, html):
        super().__init__()
        self.words, self.links, self.tags, self._open = [], [], [], []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.words += data.split()

    @property
    def text(self):
        return " ".join(self.words)


def test_a_new_node_says_that_nothing_was_received(browser):
    answer = browser.get("/")

    assert answer.status == 200
    assert "Nothing was received yet." in Page(answer.text).text


def test_the_list_is_newest_first_with_state_and_reason(browser, past):
    past.one_study_of_each_fate()

    page = Page(browser.get("/").text)

    rows = re.findall(r"(1\.2\.\d) (\d+) (\d+) (\d|–) 2026-03-14 (\S+) UTC", page.text)
    assert rows == [
        ("1.2.6", "1", "2", "–", "12:01:20"),
        ("1.2.5", "1", "1", "1", "12:01:10"),
        ("1.2.4", "1", "1", "1", "12:01:00"),
        ("1.2.3", "1", "3", "1", "12:00:00"),
    ]
    assert "failed 1.2.4" in page.text
    assert "slice gaps run from 1.000 to 5.000 mm" in page.text
    assert "not eligible 1.2.5" in page.text
    assert "./studies/1.2.3" in page.links


def test_the_list_says_how_many_it_leaves_out(browser, past, monkeypatch):
    monkeypatch.setattr("node.web.app.STUDIES_SHOWN", 2)
    past.one_study_of_each_fate()

    page = Page(browser.get("/").text)

    assert "The newest 2 of 4 studies." in page.text
    assert "1.2.3" not in page.words


def test_the_list_loads_itself_again_without_a_script(browser):
    assert '<meta http-equiv="refresh" content="10">' in browser.get("/").text


def test_a_study_shows_plan_steps_and_deliveries(browser, past):
    past.one_study_of_each_fate()

    text = Page(browser.get("/studies/1.2.3").text).text

    assert "done" in text
    assert "3 instances in 1 series" in text
    assert "Own results returned 1, left out of the inputs" in text
    assert "Complete 2026-03-14 12:00:00 UTC Because quiet for 60 s" in text
    assert "Ended 2026-03-14 12:00:20 UTC" in text
    assert "chest ct ct-lungs 1.0.0 3 1.2.3.1 pacs" in text
    assert "rule chest x-ray: Modality is CT, not DX" in text
    assert "infer ct-lungs 12.35" in text
    assert "delivered pacs ct-lungs SEG 1.9.1 1 0x0000" in text
    assert "delivered pacs ct-lungs SR 1.9.2 2 0xB000" in text
    assert "coercion of data elements" in text


def test_the_newest_revision_comes_first(browser, past):
    past.one_study_of_each_fate()
    past.received("1.2.3", series="1.2.3.9", at=after(200))
    past.completed("1.2.3", at=after(260))

    text = Page(browser.get("/studies/1.2.3").text).text

    assert text.index("Revision 2 queued") < text.index("Revision 1 done")


def test_a_study_that_is_still_arriving_has_no_revision(browser, past):
    past.received()

    answer = browser.get("/studies/1.2.3")

    assert "No revision yet" in Page(answer.text).text
    assert 'http-equiv="refresh"' in answer.text


def test_the_page_of_an_ended_study_stays_as_it_is(browser, past):
    past.one_study_of_each_fate()

    assert 'http-equiv="refresh"' not in browser.get("/studies/1.2.4").text


def test_a_failed_step_shows_its_problem(browser, past):
    past.received()
    past.completed()
    past.step("infer", 1.0, "two slices share a position")
    past.ended(StudyState.FAILED, "infer: two slices share a position")

    assert "infer ct-lungs 1.00" in (text := Page(browser.get("/studies/1.2.3").text).text)
    assert text.count("two slices share a position") == 3  # study, revision and step


def test_a_latency_budget_is_shown_with_its_forecast_and_what_came_of_it(browser, past):
    past.received()
    past.completed()
    past.planned(latency_budget_s=60.0)
    past.step("latency forecast", 45.0, "the model was expected to take 45 s when 40 s were left")
    past.step("latency budget", 95.0, "results 95 s after the study was complete, of 60 s")

    text = Page(browser.get("/studies/1.2.3").text).text

    assert "Destinations Latency budget, s" in text
    assert "1.2.3.1 pacs 60" in text
    assert "latency forecast ct-lungs 45.00" in text
    assert "expected to take 45 s when 40 s were left" in text
    assert "latency budget ct-lungs 95.00" in text


def test_without_a_latency_budget_there_is_no_column_for_it(browser, past):
    past.one_study_of_each_fate()
    assert "Latency budget" not in Page(browser.get("/studies/1.2.3").text).text


def test_what_others_have_written_is_shown_as_text_only(browser, past):
    past.received()
    past.completed(reason=ATTACK)
    past.planned(not_run=[ATTACK])
    past.step("infer", 1.0, ATTACK)
    past.made("1.9.1")
    past.sent("1.9.1", DeliveryState.FAILED, 0xC000, ATTACK)
    past.ended(StudyState.FAILED, ATTACK)

    for path in ("/", "/studies/1.2.3"):
        page = Page(browser.get(path).text)
        assert ATTACK in page.text
        assert not {"script", "img"} & set(page.tags)


def test_an_unknown_study_is_not_found(browser):
    answer = browser.get("/studies/%3Cscript%3E")

    page = Page(answer.text)
    assert answer.status == 404
    assert "No study <script> was received." in page.text
    assert "script" not in page.tags
    assert "../" in page.links


@pytest.mark.parametrize("path", ["/nothing", "/studies/", "/studies/1.2.3/", "/a/b/c"])
def test_other_addresses_are_not_found(browser, past, path):
    past.received()

    assert browser.get(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/healthz", "/metrics"])
def test_nothing_can_be_changed(browser, past, method, path):
    past.received()

    assert browser.get(path, method).status == 405


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/healthz", "/metrics", "/nothing"])
def test_every_answer_has_the_security_headers(browser, past, path):
    past.received()

    headers = browser.get(path).headers

    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/nothing"])
def test_the_policy_admits_exactly_the_style_in_the_page(browser, past, path):
    past.received()

    answer = browser.get(path)

    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "style=" not in answer.text


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3"])
def test_nothing_is_loaded_from_elsewhere(browser, past, path):
    past.one_study_of_each_fate()

    assert all(link.startswith(("./", "../")) for link in Page(browser.get(path).text).links)


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/metrics"])
def test_without_its_database_the_site_says_so_and_no_more(browser, database, path):
    metadata.drop_all(database)

    answer = browser.get(path)

    assert answer.status == 503
    assert "The database does not answer." in Page(answer.text).text
    assert "no such table" not in answer.text


def test_what_is_in_quarantine_is_shown_with_its_reason_and_how_to_release_it(browser, past):
    past.received("1.2.9", series="1.2.9.1")
    past.received_of_another_patient(instances=2)

    studies = Page(browser.get("/").text).text
    study = Page(browser.get("/studies/1.2.3").text).text

    assert "2 instances of 1 study in quarantine" in studies
    assert "receiving quarantined 1.2.3" in studies
    assert "receiving 1.2.9" in studies
    assert "2 instances are in quarantine" in study
    assert "2 instances: PatientID or its issuer is not that of the study" in study
    assert "wetread studies release 1.2.3" in study


def test_no_page_speaks_of_quarantine_where_there_is_none(browser, past):
    past.one_study_of_each_fate()

    for path in ("/", "/studies/1.2.3"):
        assert "quarantine" not in Page(browser.get(path).text).text


def test_a_destination_that_is_away_says_since_when_why_and_when_it_is_tried(browser, past):
    past.received()
    past.completed()
    past.made("1.9.1", "1.9.2", destinations=("pacs", "archive"))
    past.away(f"refused by {ATTACK}")

    overview, study = Page(browser.get("/").text), Page(browser.get("/studies/1.2.3").text)

    assert "reachable archive 2 0" in overview.text
    assert "away pacs 2 0 2026-03-14 12:00:00 UTC 2026-03-14 12:00:05 UTC away since" in (
        overview.text
    )
    assert study.text.count("2026-03-14 12:00:05 UTC refused by <script>") == 2
    assert "script" not in overview.tags + study.tags


def test_the_list_says_what_runs_the_models_and_why_not_what_was_preferred(past, tmp_path):
    files = Files(tmp_path / "data")
    browser = Browser(
        build(past.index, past.ledger, past.quarantine, partial(read_lane, files.data_dir))
    )
    before = Page(browser.get("/").text).text

    write_lane(files, LaneInfo("onnx on cpu", ("backend 'tensorrt': no driver",)))
    after_start = Page(browser.get("/").text).text

    write_lane(files, LaneInfo("tensorrt on cuda", (), "ct-lungs fp16: Building, step 3 of 9"))
    while_building = Page(browser.get("/").text).text

    assert "Models" not in before
    assert "studies wait for it: ct-lungs fp16: Building, step 3 of 9" in while_building
    assert "wait for it" not in after_start
    assert "Models Run by onnx on cpu. Passed over: backend 'tensorrt': no driver" in after_start
