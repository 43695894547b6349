"""A whole node on PostgreSQL."""

from __future__ import annotations

import pytest

from node.domain import StudyState
from tests.builders import ct_series
from tests.builders.network import peer, store_all
from tests.node.running import RunningNode

pytestmark = pytest.mark.loopback


def test_a_ct_is_processed_and_delivered_and_a_killed_worker_goes_on(tmp_path, postgres):
    images = ct_series(slices=6)
    late = ct_series(slices=6, seed="late")
    uid, late_uid = images[0].StudyInstanceUID, late[0].StudyInstanceUID
    with peer() as pacs:
        node = RunningNode(tmp_path, pacs.port, database=postgres.new_database())
        try:
            node.start()
            assert store_all(node.port, images) == [0x0000] * 6
            assert node.settled(uid) is StudyState.DONE

            assert store_all(node.port, late) == [0x0000] * 6
            node.process("work").kill()
            assert node.settled(late_uid) is StudyState.DONE
        finally:
            node.stop()
        for each in (uid, late_uid):
            assert sorted(ds.Modality for ds in pacs.of(each)) == ["OT", "SEG", "SR"]
