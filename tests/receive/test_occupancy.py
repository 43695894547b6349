"""Limits on associations, counted over all receiver processes of a host."""

from __future__ import annotations

import struct
from contextlib import ExitStack, contextmanager

import pytest

from node.config.model import Peer
from node.receive.occupancy import Occupancy
from node.receive.scp import StorageScp
from tests.builders.network import free_port, wait_until
from tests.receive.door import receive
from tests.receive.recording import Recording
from tests.receive.wire import Wire, associate_request

CT, MR = Peer(ae_title="CT1", max_associations=2), Peer(ae_title="MR1")


def limits(**difference):
    return receive(**{"accept_from": (CT, MR), "max_associations": 3, **difference})


@pytest.fixture(params=["alone", "two processes"])
def pair(request, tmp_path):
    """Two counters that should agree: the same one twice, or one for each process."""
    if request.param == "alone":
        one = Occupancy(limits())
        return one, one
    two = limits(processes=2)
    return Occupancy(two, tmp_path, 0), Occupancy(two, tmp_path, 1)


def test_the_limit_of_a_peer_holds_over_all_processes(pair):
    first, second = pair
    assert first.enter(CT) is None
    assert second.enter(CT) is None
    assert first.enter(CT) == "2 associations of CT1 open; its max_associations is 2"
    assert second.enter(MR) is None

    second.leave(CT)
    assert first.enter(CT) is None


def test_the_limit_in_total_holds_over_all_processes(pair):
    first, second = pair
    for one in (first, second, first):
        assert one.enter(MR) is None
    assert second.enter(MR) == "3 associations open; receive.max_associations is 3"
    assert second.enter(CT) == "3 associations open; receive.max_associations is 3"

    first.leave(MR)
    assert second.enter(CT) is None


def test_a_process_that_was_killed_leaves_no_places_taken(tmp_path):
    two = limits(processes=2)
    killed, other = Occupancy(two, tmp_path, 0), Occupancy(two, tmp_path, 1)
    killed.enter(MR)
    killed.enter(MR)
    other.enter(MR)
    assert other.total == 3

    Occupancy(two, tmp_path, 0)

    assert other.total == 1


@contextmanager
def two_processes(folder, **difference):
    """Two doors on one port, as two receiver processes are."""
    configuration = limits(processes=2, port=free_port(), **difference)
    doors = [
        StorageScp(configuration, Recording(), slot=slot, shared_folder=folder) for slot in (0, 1)
    ]
    for door in doors:
        door.start()
    try:
        yield configuration.port
    finally:
        for door in doors:
            door.stop()


@pytest.mark.loopback
def test_two_processes_behind_one_port_share_their_limit(tmp_path):
    with two_processes(tmp_path, max_associations=5) as port, ExitStack() as stack:
        wires = [stack.enter_context(Wire(port)) for _ in range(5)]
        for wire in wires:
            wire.associate(associate_request(calling="MR1"))
        refused = stack.enter_context(Wire(port))
        refused.send(associate_request(calling="MR1"))
        assert refused.read_pdu() == struct.pack(">BxIxBBB", 3, 4, 2, 3, 2)


@pytest.mark.loopback
def test_both_processes_behind_one_port_are_called(tmp_path):
    with two_processes(tmp_path, max_associations=100) as port, ExitStack() as stack:
        counts = memoryview(next(tmp_path.glob("associations-*")).read_bytes()).cast("i")
        assert sum(counts) == 0
        for _ in range(40):
            stack.enter_context(Wire(port)).associate(associate_request(calling="MR1"))

        def by_process() -> list[int]:
            file = next(tmp_path.glob("associations-*")).read_bytes()
            rows = memoryview(file).cast("i").tolist()
            return [sum(rows[:2]), sum(rows[2:])]

        wait_until(lambda: sum(by_process()) == 40, within_s=10, what="all are counted")
        assert min(by_process()) > 0
