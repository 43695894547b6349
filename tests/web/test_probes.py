"""What machines ask the status site: is it well, and how much is where."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.domain import DeliveryState
from node.store.database import metadata
from tests.web.site import NOON


def scrape(browser):
    """Samples by name and labels."""
    answer = browser.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def study(state):
    return ("wetread_studies", ("state", state))


def delivery(destination, state):
    return ("wetread_deliveries", ("destination", destination), ("state", state))


def destination(metric):
    return (metric, ("destination", "pacs"))


def test_the_node_is_well_while_its_database_answers(browser):
    answer = browser.get("/healthz")

    assert (answer.status, answer.json) == (200, {"database": "answers"})


def test_the_node_is_not_well_without_its_database(browser, database):
    metadata.drop_all(database)

    answer = browser.get("/healthz")

    assert (answer.status, answer.json) == (503, {"database": "does not answer"})


def test_studies_are_counted_by_state_also_where_there_are_none(browser, past):
    past.one_study_of_each_fate()

    assert scrape(browser) == {
        study("receiving"): 1,
        study("queued"): 0,
        study("delivering"): 0,
        study("done"): 1,
        study("not eligible"): 1,
        study("failed"): 1,
        study("late"): 0,
        delivery("pacs", "waiting"): 0,
        delivery("pacs", "delivered"): 2,
        delivery("pacs", "failed"): 0,
        delivery("pacs", "replaced"): 0,
        ("wetread_quarantined_instances",): 0,
        destination("wetread_destination_away"): 0,
        destination("wetread_delivery_oldest_seconds"): 0,
    }


def test_instances_in_quarantine_are_counted_until_they_are_released(browser, past):
    past.received_of_another_patient(instances=3)
    assert scrape(browser)["wetread_quarantined_instances",] == 3

    past.quarantine.release("1.2.3", now=NOON)

    assert scrape(browser)["wetread_quarantined_instances",] == 0


def test_deliveries_are_counted_by_destination_and_state(browser, past):
    past.received()
    past.completed()
    past.made("1.9.1", "1.9.2", "1.9.3", destinations=("archive", "pacs"))
    past.sent("1.9.1", DeliveryState.DELIVERED, 0, destination="pacs")
    past.sent("1.9.2", DeliveryState.FAILED, 0xA900, destination="archive")

    samples = scrape(browser)

    assert samples[delivery("pacs", "delivered")] == 1
    assert samples[delivery("pacs", "waiting")] == 2
    assert samples[delivery("archive", "failed")] == 1
    assert samples[delivery("archive", "waiting")] == 2


def test_each_scrape_reads_again(browser, past):
    assert scrape(browser)[study("receiving")] == 0

    past.received()

    assert scrape(browser)[study("receiving")] == 1


def test_no_uid_is_a_label(browser, past):
    past.one_study_of_each_fate()

    assert "1.2." not in browser.get("/metrics").text


def test_a_destination_that_is_away_is_seen_with_the_age_of_what_waits(browser, past):
    past.made("1.9.1")
    past.away("nobody there")

    found = scrape(browser)

    assert found[destination("wetread_destination_away")] == 1
    seconds = (datetime.now(UTC) - NOON).total_seconds()
    assert found[destination("wetread_delivery_oldest_seconds")] == pytest.approx(seconds, abs=60)
