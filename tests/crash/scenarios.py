"""All scenarios, and how the kills that are asked for are shared among them."""

from __future__ import annotations

from tests.crash import breaks, kills
from tests.crash.stage import Scenario

SCENARIOS = (
    Scenario("receiver, at random", kills.receiver_at_random, share=50),
    Scenario("receiver, at each step", kills.each_step("receive"), share=16),
    Scenario("work process, at random", kills.worker_at_random, share=9),
    Scenario("work process, at each step", kills.each_step("work"), share=11),
    Scenario("everything at once", kills.everything_at_once, share=9),
    Scenario("any supervised process", kills.supervised, share=5),
    Scenario("database locked", breaks.database_locked, breaks=5),
    Scenario("database gone", breaks.database_gone, breaks=10),
    Scenario("disk full", breaks.disk_full, breaks=8),
    Scenario("network broken", breaks.network_broken, breaks=100),
    Scenario("clock moved", breaks.clock_moved, breaks=10),
)
"""The shares add up to 100."""


def kills_of(scenario: Scenario, kills_in_all: int) -> int:
    """How many kills, or breaks, a scenario is to make."""
    return max(1, kills_in_all * scenario.share // 100) if scenario.share else scenario.breaks
