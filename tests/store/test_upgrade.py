"""A database that version 0.1.0 has made is usable, with all that is in it."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect

from node.domain import DeliveryState, Standing, StudyState
from node.store.database import metadata, open_database
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.quarantine import Quarantine
from node.store.standing import Arrival, Receipt
from tests.builders.records import NOON, after, instance
from tests.store.schema_0_1 import make_database


@pytest.fixture
def upgraded(empty_url):
    make_database(empty_url)
    engine = open_database(empty_url)
    yield engine
    engine.dispose()


def shape(engine):
    """Tables with their columns and indexes."""
    there = inspect(engine)
    return {
        table.name: (
            {column["name"] for column in there.get_columns(table.name)},
            {index["name"] for index in there.get_indexes(table.name)}
            & {index.name for index in table.indexes},
        )
        for table in metadata.sorted_tables
    }


def test_it_gets_every_table_column_and_index_of_a_new_one(upgraded):
    assert shape(upgraded) == {
        table.name: (
            {column.name for column in table.columns},
            {index.name for index in table.indexes},
        )
        for table in metadata.sorted_tables
    }


def test_its_rows_are_still_there(upgraded):
    index, ledger = Index(upgraded), Ledger(upgraded)

    assert index.study("1.2.3").state is StudyState.DONE
    assert index.study_instances("1.2.3") == [instance(1)]
    assert index.revision("1.2.3", 1).complete_at == after(60)
    [delivery] = ledger.deliveries("1.2.3", 1)
    assert (delivery.state, delivery.attempts) == (DeliveryState.WAITING, 2)
    assert Quarantine(upgraded).counts() == {}


def test_its_studies_receive_on(upgraded):
    index = Index(upgraded)

    found = index.record_instances(
        [
            Arrival(instance(1)),
            Arrival(instance(2, received_at=after(9)), "d" * 64),
            Arrival(instance(3), "e" * 64),
            Arrival(instance(sop_instance_uid="2.25.1")),
        ]
    )

    assert [verdict.receipt for verdict in found] == [
        Receipt.DUPLICATE,
        Receipt.NEW,
        Receipt.QUARANTINED,
        Receipt.OWN_RESULT,
    ]
    assert index.study("1.2.3").state is StudyState.RECEIVING
    assert index.study("1.2.3").last_received_at == after(9)
    assert index.study("1.2.3").first_received_at == NOON


def test_a_series_that_two_studies_had_is_that_of_the_first(upgraded):
    index = Index(upgraded)

    index.record_instances([Arrival(instance(2)), Arrival(instance(9, study_instance_uid="1.2.4"))])

    assert index.study_instances("1.2.3")[-1].standing is Standing.USED
    assert index.study_instances("1.2.4")[-1].standing is Standing.QUARANTINED


def test_opening_it_again_changes_nothing(upgraded, empty_url):
    before = shape(upgraded)

    open_database(empty_url).dispose()

    assert shape(upgraded) == before
