"""Disk, database, network and clock break, a few times each."""

from __future__ import annotations

import pytest

from tests.crash import breaks

pytestmark = pytest.mark.loopback


def test_a_disk_that_is_full_refuses_for_the_time_being_and_loses_nothing(play):
    assert play(breaks.disk_full, 2).violations == []


def test_a_postgresql_that_drops_its_connections_and_restarts_costs_nothing(play):
    assert play(breaks.database_gone, 3).violations == []


def test_a_database_that_another_process_locks_costs_nothing(play):
    assert play(breaks.database_locked, 1).violations == []


def test_a_network_that_breaks_inside_pdus_and_answers_costs_nothing(play):
    verdict = play(breaks.network_broken, 10)

    assert verdict.violations == []
    assert verdict.kills >= 10


def test_a_clock_that_jumps_and_stands_still_costs_nothing(play):
    assert play(breaks.clock_moved, 2).violations == []
