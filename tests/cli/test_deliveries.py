"""The ledger of proofs: on the command line, on the pages and in the metrics."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from node.cli.main import cli
from node.domain import DeliveryState, Outcome, ProofMethod
from node.store.database import database_url, open_database
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.quarantine import Quarantine
from node.web.app import build
from tests.builders.records import NOON, after, artifact, instance
from tests.web.site import Browser

DELIVERED = Outcome(DeliveryState.DELIVERED, 0x0000, "")


@pytest.fixture
def database(tmp_path):
    (tmp_path / "data").mkdir()
    engine = open_database(database_url("sqlite", tmp_path / "data"))
    yield engine
    engine.dispose()


@pytest.fixture
def past(database):
    """Of three objects one is proven, one alarmed and one not sent yet."""
    ledger, index = Ledger(database), Index(database)
    index.record_instance(instance())
    (study,) = index.list_studies()
    index.complete_study(study, NOON, "quiet")
    ledger.outbox.open(["pacs"])
    ledger.record_artifacts([artifact(1), artifact(2)], "key", NOON)
    for number in (1, 2):
        ledger.record_outcome(f"2.25.{number}", "pacs", DELIVERED, NOON, prove=True)
    ledger.proofs.make_requests("pacs", ProofMethod.QUERY, NOON)
    (request,) = ledger.proofs.due("pacs", NOON, 60)
    ledger.proofs.prove(request.transaction_uid, {"2.25.1"}, ProofMethod.QUERY, after(5))
    ledger.proofs.raise_alarm(request, "a query does not find it", after(9))
    ledger.record_artifacts([artifact(3, destinations=("archive",))], "key", NOON)
    return database


@pytest.fixture
def wetread(tmp_path, past):
    config = tmp_path / "wetread.yaml"
    destination = {"ae_title": "P", "host": "h"}
    (tmp_path / "m").mkdir()
    config.write_text(
        yaml.safe_dump(
            {
                "data_dir": str(tmp_path / "data"),
                "models_dir": str(tmp_path),
                "destinations": {"pacs": destination, "archive": {**destination, "ae_title": "A"}},
                "rules": [{"name": "a", "when": {}, "run": ["m"], "send_to": ["pacs"]}],
            }
        )
    )

    def run(*arguments):
        result = CliRunner().invoke(cli, [*arguments, "--config", str(config)])
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), ["2.25.1", "2.25.2", "2.25.3"]),
        (("--proof", "alarmed"), ["2.25.2"]),
        (("--proof", "proven"), ["2.25.1"]),
        (("--to", "archive"), ["2.25.3"]),
        (("--state", "delivered", "--study", "1.2.3"), ["2.25.1", "2.25.2"]),
        (("--study", "1.2.4"), []),
    ],
)
def test_deliveries_are_found_by_study_destination_state_and_proof(wetread, options, found):
    rows = json.loads(wetread("deliveries", *options, "--json"))

    assert sorted(row["sop_instance_uid"] for row in rows) == found


def test_the_ledger_says_by_what_and_when_it_was_proven(wetread):
    (row,) = json.loads(wetread("deliveries", "--proof", "proven", "--json"))

    assert (row["proven_by"], row["proven_at"]) == ("query", "2026-03-02 12:00:05+00:00")
    assert row["sent_at"] == "2026-03-02 12:00:00+00:00"


def test_an_alarm_is_seen_with_the_destinations(wetread):
    text = wetread("destinations")

    assert "proof that it holds them: 0 awaited, 1 proven, 1 alarmed" in text
    assert "ALARM: it has not proven to hold 1 objects" in text


def test_pages_and_metrics_show_what_is_proven_and_what_is_not(past):
    browser = Browser(build(Index(past), Ledger(past), Quarantine(past)))

    first = browser.get("/").text
    study = browser.get("/studies/1.2.3").text
    metrics = browser.get("/metrics").text

    assert "1 proven, 0 awaited" in first
    assert "1 not proven in spite of everything" in first
    assert "by query" in study
    assert "a query does not find it" in study
    assert 'wetread_delivery_proofs{destination="pacs",proof="alarmed"} 1.0' in metrics
    assert 'wetread_delivery_proofs{destination="pacs",proof="awaited"} 0.0' in metrics
