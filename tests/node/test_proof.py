"""A whole node whose archive reports late, on its own association, across a kill -9."""

from __future__ import annotations

import pytest

from node.domain import Proof, ResultKind, StudyState
from tests.builders import ct_series
from tests.builders.network import free_port, store_all, wait_until
from tests.deliver.archive import NEVER, archive
from tests.node.running import RunningNode

pytestmark = pytest.mark.loopback


def test_a_report_reaches_the_ledger_although_the_process_that_asked_was_killed(tmp_path):
    port = free_port()
    with archive(report=NEVER, node_port=port) as pacs:
        pacs_of_node = {
            "ae_title": "MAINPACS",
            "host": "127.0.0.1",
            "port": pacs.port,
            "proof": "storage_commitment",
            "timeout_s": 20,
        }
        node = RunningNode(tmp_path, pacs.port, port=port, destinations={"pacs": pacs_of_node})
        try:
            node.start()
            images = ct_series()
            assert set(store_all(node.port, images)) == {0x0000}
            uid = str(images[0].StudyInstanceUID)
            assert node.settled(uid) is StudyState.DONE
            wait_until(lambda: pacs.requests, within_s=60, what="the request for commitment")

            node.process("work").kill()
            for transaction_uid, uids in list(pacs.requests):
                wanted = [(pacs.held[one].SOPClassUID, one) for one in uids]
                assert pacs.tell(transaction_uid, wanted) == 0x0000

            def proofs():
                rows = node.stores.ledger.deliveries(uid, 1)
                return {row.proof for row in rows if row.kind is not ResultKind.STATUS}

            wait_until(lambda: proofs() == {Proof.PROVEN}, within_s=60, what="the proof")
            assert len(pacs.stored) == len({str(ds.SOPInstanceUID) for ds in pacs.stored})
        finally:
            node.stop()
