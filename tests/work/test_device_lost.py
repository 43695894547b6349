"""A lost device ends the process, and the next process repeats the run, once."""

from __future__ import annotations

import pytest

from engines.backends.onnx import OnnxBackend
from engines.errors import DeviceLost
from node.domain import StudyState
from tests.builders import ct_series
from tests.builders.network import peer

REASON = "CUDA error 700, illegal address"


class Breaking(OnnxBackend):
    """A backend whose device breaks at every run."""

    def load(self, package, *, device):
        session = super().load(package, device=device)
        session.run = self.break_down
        return session

    def break_down(self, inputs):
        raise DeviceLost(REASON)


def lose_device(open_node, uid):
    """Infer in a process whose device breaks, until the process ends."""
    node = open_node(backend=Breaking(threads=1))
    with pytest.raises(SystemExit, match=REASON):
        node.steps.infer(uid, 1, 0)


def test_a_run_that_has_lost_its_device_is_done_by_the_next_process(open_node):
    with peer() as pacs:
        first = open_node()
        uid = first.complete(ct_series(slices=6))
        first.steps.plan(uid, 1)
        lose_device(open_node, uid)

        second = open_node(port=pacs.port)
        assert second.make(uid) == ["pacs"]
        second.deliver()

    assert second.revision(uid).state is StudyState.DONE
    [lost] = [row for row in second.ledger.steps(uid, 1) if row.step == "device lost 1"]
    assert lost.problem == REASON


def test_a_run_that_loses_its_device_twice_is_given_up_and_the_next_one_goes_on(open_node):
    first = open_node()
    study = {"slices": 6, "StudyInstanceUID": "1.2.3"}
    uid = first.complete(
        [
            *ct_series(seed="a", SeriesInstanceUID="1.2.3.1", **study),
            *ct_series(seed="b", SeriesInstanceUID="1.2.3.2", **study),
        ]
    )
    assert first.steps.plan(uid, 1) == 2
    lose_device(open_node, uid)
    lose_device(open_node, uid)

    third = open_node()

    assert third.steps.infer(uid, 1, 0) is False
    assert third.steps.infer(uid, 1, 1) is True
    assert third.problems(uid)[-1] == "the device was lost 2 times while this ran"
