"""A study whose model runs on another machine waits while that machine is away."""

from __future__ import annotations

import pytest

pytest.importorskip("tritonclient.grpc", reason="needs the extra kserve")

from node.errors import TransientError
from tests.builders import ct_series
from tests.builders.network import free_port
from tests.engines.kserve_server import serving


def test_a_study_waits_for_the_model_server_and_goes_on_when_it_is_there(open_node):
    port = free_port()
    node = open_node(work={"backend": f"kserve@grpc://127.0.0.1:{port}"})
    uid = node.complete(ct_series())
    node.steps.plan(uid, 1)

    with pytest.raises(TransientError, match=f"127.0.0.1:{port}"):
        node.steps.infer(uid, 1, 0)
    (waits,) = node.problems(uid)
    assert waits.startswith(f"waits: grpc://127.0.0.1:{port}: ServerLive: UNAVAILABLE")

    with serving(node.models, port=port):
        assert node.steps.infer(uid, 1, 0)
        assert node.steps.encode(uid, 1, 0)
    assert node.problems(uid) == []
