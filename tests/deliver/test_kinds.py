"""What every kind of destination must do: one contract, a peer of each kind."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from node.deliver import kinds
from node.deliver.objects import read_file
from node.domain import DeliveryState
from node.errors import Away, TransientError
from tests.builders import ct_series, write
from tests.builders.network import free_port, peer
from tests.deliver.origin import origin, web_destination
from tests.deliver.peers import destination

pytestmark = pytest.mark.loopback


class Dimse:
    """An application entity."""

    @staticmethod
    @contextmanager
    def server():
        with peer(find=True) as pacs:
            yield pacs

    destination = staticmethod(destination)


class Dicomweb:
    """An origin server."""

    server = staticmethod(origin)
    destination = staticmethod(web_destination)


@pytest.fixture(params=[Dimse, Dicomweb], ids=["dimse", "dicomweb"])
def kind(request):
    return request.param


@pytest.fixture
def files(tmp_path):
    return [read_file(path) for path in write(ct_series(slices=4), tmp_path)]


@contextmanager
def link_to(to):
    link = kinds.open_link(to, "WETREAD")
    try:
        yield link
    finally:
        link.close()


def number(ds):
    return int(ds.InstanceNumber)


def test_every_object_arrives_as_it_is(kind, files):
    with kind.server() as server, link_to(kind.destination(server.port)) as link:
        outcomes = [link.store(file) for file in files]

        assert {o.state for o in outcomes} == {DeliveryState.DELIVERED}
        assert sorted(map(number, server.stored)) == [1, 2, 3, 4]


def test_every_outcome_is_that_of_its_own_object(kind, files):
    statuses = [0x0000, 0xB000, 0xA700, 0xC123]
    with kind.server() as server, link_to(kind.destination(server.port)) as link:
        server.answer = lambda ds: statuses[number(ds) - 1]
        outcomes = [link.store(file) for file in files]

    assert [o.status for o in outcomes] == statuses
    assert [o.state.value for o in outcomes] == ["delivered", "delivered", "waiting", "failed"]


def test_what_the_destination_has_already_counts_as_delivered(kind, files):
    with kind.server() as server, link_to(kind.destination(server.port)) as link:
        server.answer = lambda _ds: 0x0111

        assert link.store(files[0]).state is DeliveryState.DELIVERED


def test_a_sop_class_that_is_not_taken_is_said_to_be_that(kind, files):
    with kind.server() as server, link_to(kind.destination(server.port)) as link:
        server.answer = lambda _ds: 0x0122
        outcome = link.store(files[0])

    assert outcome.state is DeliveryState.FAILED
    assert outcome.not_taken


def test_nobody_at_the_port_is_away(kind, files):
    with link_to(kind.destination(free_port())) as link, pytest.raises(Away, match="be reached"):
        link.store(files[0])


def test_a_query_lists_what_the_destination_holds_and_nothing_else(kind, files):
    study, series = "1.2.3", set()
    with kind.server() as server:
        to = kind.destination(server.port)
        with link_to(to) as link:
            for file in files[:3]:
                link.store(file)
        series = {str(ds.SeriesInstanceUID) for ds in server.stored}
        study = str(server.stored[0].StudyInstanceUID)

        held = kinds.held(to, "WETREAD", study, series)

        assert held == {file.sop_instance_uid for file in files[:3]}
        assert kinds.held(to, "WETREAD", study, {"1.2.3.4"}) == set()


def test_a_server_that_answers_is_verified_and_none_is_not(kind):
    with kind.server() as server:
        kinds.verify(kind.destination(server.port), "WETREAD")

    with pytest.raises(TransientError, match="cannot be reached"):
        kinds.verify(kind.destination(free_port()), "WETREAD")
