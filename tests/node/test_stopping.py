"""SIGTERM ends a role, whichever of its threads the system gives the signal to."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys

import psutil
import pytest

from tests.builders.network import wait_until
from tests.node.running import RunningNode

pytestmark = pytest.mark.loopback


def test_a_receiver_ends_when_another_thread_than_the_first_gets_the_signal(tmp_path):
    node = RunningNode(tmp_path, pacs_port=104)
    arguments = ["run", "--config", str(node.config_file), "--role", "receive"]
    receiver = subprocess.Popen(
        [sys.executable, "-m", "node", *arguments], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(node.answers, within_s=30, what="the receiver")
        others = {thread.id for thread in psutil.Process(receiver.pid).threads()} - {receiver.pid}
        # The oldest one: the newest may be that of an association, which ends by itself.
        oldest = min(others)

        assert ctypes.CDLL(None).tgkill(receiver.pid, oldest, signal.SIGTERM) == 0

        assert receiver.wait(15) == 0
    finally:
        receiver.kill()
        receiver.wait(10)
        node.stop()
