"""A few of the kills that ``make crash`` does by the hundred."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.crash import kills

pytestmark = pytest.mark.loopback


def test_a_receiver_killed_at_random_under_four_senders_loses_nothing(play):
    verdict = play(kills.receiver_at_random, 10)

    assert verdict.violations == []
    assert verdict.kills == 10
    assert verdict.acknowledged > 0


def test_a_receiver_killed_at_its_durable_steps_loses_nothing(play):
    verdict = play(kills.each_step("receive"), 6)

    assert verdict.violations == []
    assert verdict.kills >= 4


def test_a_work_process_killed_at_its_durable_steps_delivers_once(play):
    verdict = play(kills.each_step("work"), 3)

    assert verdict.violations == []
    assert verdict.kills >= 2


def test_a_node_whose_power_goes_loses_nothing(play):
    verdict = play(kills.everything_at_once, 2)

    assert verdict.violations == []
    assert verdict.kills == 2


@pytest.mark.parametrize("point", ["before:commit", "before:link"])
def test_the_launcher_kills_a_role_at_the_step_it_is_told(play, point):
    """Or the sweeps above would kill nothing."""

    def launched(stage):
        with stage.world() as world:
            command = ["run", "--config", str(world.node.config_file), "--role", "receive"]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.launch", point, "1", *command],
                stderr=subprocess.DEVNULL,
            )
            try:
                world.send_one("CT")
                return process.wait(60)
            finally:
                process.kill()
                process.wait()

    assert play(launched, 1) == -9
