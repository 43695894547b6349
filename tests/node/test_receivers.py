"""Several receiver processes behind one port, seen from outside."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from node.domain import StudyState
from tests.builders import ct_series
from tests.builders.network import association, free_port, peer, store_all, wait_until
from tests.node.running import RunningNode

pytestmark = pytest.mark.loopback

PROCESSES = 3


@pytest.fixture(scope="module")
def node(tmp_path_factory, pacs):
    running = RunningNode(
        tmp_path_factory.mktemp("node"), pacs.port, receive={"processes": PROCESSES}
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


def associated(receiver, port):
    """How many associations a receiver has at the moment."""
    return sum(
        connection.laddr.port == port and connection.status == psutil.CONN_ESTABLISHED
        for connection in receiver.net_connections("tcp")
    )


def test_a_study_that_comes_over_many_associations_is_one_study(node, pacs):
    study = ct_series(slices=12, seed="many associations")
    node.processes("receive", PROCESSES)

    for image in study:
        assert store_all(node.port, [image]) == [0x0000]

    uid = study[0].StudyInstanceUID
    assert node.settled(uid) is StudyState.DONE
    assert len(node.stores.index.study_instances(uid)) == 12


def test_a_receiver_that_is_killed_is_replaced_while_the_others_keep_serving(node, pacs):
    study = ct_series(slices=6, seed="killed receiver")
    before = node.processes("receive", PROCESSES)
    with association(node.port, study) as opened:
        assert int(opened.send_c_store(study[0]).Status) == 0x0000
        victim = next(one for one in before if associated(one, node.port) == 0)

        victim.kill()
        victim.wait(10)
        for image in study[1:3]:
            assert int(opened.send_c_store(image).Status) == 0x0000
    for image in study[3:]:
        assert store_all(node.port, [image]) == [0x0000]

    after = node.processes("receive", PROCESSES)
    assert len(after) == PROCESSES
    assert victim.pid not in {one.pid for one in after}
    assert node.settled(study[0].StudyInstanceUID) is StudyState.DONE


def test_the_role_receive_alone_is_as_many_processes_as_configured(tmp_path):
    with peer() as archive:
        node = RunningNode(tmp_path, archive.port, receive={"processes": 2})
    arguments = ["run", "--config", str(node.config_file), "--role", "receive"]
    alone = subprocess.Popen([sys.executable, "-m", "node", *arguments], stderr=subprocess.DEVNULL)
    try:
        supervisor = psutil.Process(alone.pid)
        wait_until(lambda: len(supervisor.children()) == 2, within_s=30, what="two receivers")
        slots = {child.cmdline()[-1] for child in supervisor.children()}
        wait_until(node.answers, within_s=30, what="C-ECHO")
    finally:
        alone.terminate()
        alone.wait(30)
        node.stop()

    assert slots == {"0", "1"}


def test_a_slot_that_is_not_configured_is_refused(tmp_path):
    node = RunningNode(tmp_path, free_port())
    node.stop()

    arguments = ["--config", str(node.config_file), "--role", "receive", "--slot", "1"]

    result = subprocess.run(
        [sys.executable, "-m", "node", "run", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 2
    assert "receive.processes is 1" in result.stderr
