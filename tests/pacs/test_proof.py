"""Proof of delivery against a real PACS: storage commitment in both roles, queries, STOW-RS."""

from __future__ import annotations

import json
import subprocess
import urllib.request

import pytest
from pydicom.uid import CTImageStorage, generate_uid

from node.app.stores import utc_now
from node.config.model import Peer
from node.domain import DeliveryState, Proof
from node.receive.commitment import CommitmentService
from node.receive.keep import Keeper
from node.receive.scp import StorageScp
from node.store.commitment import Commitments
from tests.builders import ct_series
from tests.builders.network import free_port, store_all, wait_until
from tests.builders.tools import need
from tests.deliver.peers import dcmtk, listens
from tests.pacs.orthanc import Orthanc
from tests.receive.door import receive
from tests.work.post import Post

pytestmark = pytest.mark.pacs


class Node:
    """A door and the senders of a node, beside an Orthanc that both sends and receives."""

    def __init__(self, folder, **keys):
        self.port = free_port()
        self.orthanc = Orthanc(
            folder / "orthanc", self.port, dicomweb=True, DicomAlwaysAllowFind=True
        )
        web = {"kind": "dicomweb", "url": f"http://127.0.0.1:{self.orthanc.http_port}/dicom-web"}
        dimse = {"ae_title": "ORTHANC", "port": self.orthanc.port, "timeout_s": 10}
        keys = {"proof": "storage_commitment", **keys}
        destination = {**(web if "kind" in keys else dimse), **keys}
        self.post = Post(folder / "node", {"pacs": destination}, clock=utc_now)
        engine, files = self.post.engine, self.post.files
        peers = (
            Peer(ae_title="ORTHANC", host="127.0.0.1"),
            Peer(ae_title="CT1", host="127.0.0.1"),
        )
        self.keeper = Keeper(files, self.post.index, utc_now, receive=receive())
        service = CommitmentService(
            self.post.ledger.proofs, Commitments(engine, folder / "node"), {"ORTHANC"}, utc_now
        )
        self.scp = StorageScp(
            receive(port=self.port, accept_from=peers), self.keeper, commitment=service
        )

    def start(self):
        self.orthanc.start()
        self.scp.start()
        self.post.senders.start()

    def stop(self):
        self.post.close()
        self.scp.stop()
        self.keeper.close()
        self.orthanc.stop()

    def proofs(self):
        return {number: row.proof for number, row in self.post.rows().items()}

    def wait_for(self, **proofs):
        expected = {int(number[1:]): proof for number, proof in proofs.items()}
        wait_until(lambda: self.proofs() == expected, within_s=60, what="the proofs")


@pytest.fixture
def open_node(tmp_path):
    opened = []

    def start(**keys):
        need(Orthanc.missing(dicomweb=True))
        opened.append(Node(tmp_path, **keys))
        opened[-1].start()
        return opened[-1]

    yield start
    for each in opened:
        each.stop()


@pytest.mark.parametrize(
    ("keys", "method"),
    [
        ({}, "storage commitment"),
        ({"proof": "query"}, "query"),
        ({"kind": "dicomweb", "proof": "query"}, "query"),
    ],
    ids=["storage commitment", "C-FIND", "QIDO-RS"],
)
def test_orthanc_proves_what_it_was_sent(open_node, keys, method):
    node = open_node(**keys)
    node.post.put(1, 2)
    node.post.senders.wake()

    node.wait_for(n1=Proof.PROVEN, n2=Proof.PROVEN)

    assert {row.proven_by for row in node.post.rows().values()} == {method}
    assert set(node.orthanc.instances("1.2.3")) == {"2.25.1", "2.25.2"}


def test_what_orthanc_has_lost_is_sent_again_and_proven(open_node):
    node = open_node()
    asked = node.post.ledger.proofs.make_requests
    lost = []

    def lose_one_first(*arguments):
        """Between the delivery and the first request."""
        if not lost and set(node.post.states().values()) == {DeliveryState.DELIVERED}:
            lost.append(node.orthanc.instances("1.2.3")["2.25.2"])
            node.orthanc.delete(f"/instances/{lost[0]}")
        return asked(*arguments) if lost else 0

    node.post.ledger.proofs.make_requests = lose_one_first
    node.post.put(1, 2)
    node.post.senders.wake()

    node.wait_for(n1=Proof.PROVEN, n2=Proof.PROVEN)

    assert {n: row.attempts for n, row in node.post.rows().items()} == {1: 1, 2: 2}
    assert set(node.orthanc.instances("1.2.3")) == {"2.25.1", "2.25.2"}


def test_orthanc_asks_the_node_to_commit_and_is_told_the_truth(open_node):
    node = open_node()
    images = ct_series(slices=2)
    store_all(node.port, images)
    kept = [(CTImageStorage, str(ds.SOPInstanceUID)) for ds in images]
    missing = (CTImageStorage, generate_uid())

    whole = ask(node.orthanc, kept)
    partial = ask(node.orthanc, [*kept, missing])

    wait_until(lambda: status(node.orthanc, whole) == "Success", within_s=60, what="the report")
    wait_until(lambda: status(node.orthanc, partial) == "Failure", within_s=60, what="the other")
    failures = node.orthanc.get(partial)["Failures"]
    assert [each["SOPInstanceUID"] for each in failures] == [missing[1]]
    assert [each["FailureReason"] for each in failures] == [0x0112]


def ask(orthanc, instances):
    """Let Orthanc ask the node; the path of its transaction."""
    wanted = [{"SOPClassUID": c, "SOPInstanceUID": i} for c, i in instances]
    request = urllib.request.Request(
        f"http://127.0.0.1:{orthanc.http_port}/modalities/wetread/storage-commitment",
        data=json.dumps({"DicomInstances": wanted, "Timeout": 30}).encode(),
        method="POST",
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)["Path"]


def status(orthanc, path):
    return orthanc.get(path)["Status"]


@pytest.fixture
def dcmqrscp(tmp_path):
    """DCMTK's archive, which has queries and no storage commitment; its port."""
    port = free_port()
    (tmp_path / "archive").mkdir()
    configuration = tmp_path / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port}\n"
        "MaxPDUSize = 16384\n"
        "MaxAssociations = 16\n"
        "HostTable BEGIN\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nMAINPACS {tmp_path / 'archive'} RW (100, 1024mb) ANY\nAETable END\n"
    )
    process = subprocess.Popen(
        [dcmtk("dcmqrscp"), "-c", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: listens(port), within_s=20, what="dcmqrscp")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_an_archive_without_storage_commitment_is_looked_up(tmp_path, dcmqrscp):
    destination = {"port": dcmqrscp, "timeout_s": 10, "proof": "storage_commitment"}
    post = Post(tmp_path / "node", {"pacs": destination})
    try:
        post.put(1, 2)
        post.deliver()
        for _ in range(2):
            post.senders.provers["pacs"].work_off()

        assert {row.proof for row in post.rows().values()} == {Proof.PROVEN}
        assert {row.proven_by for row in post.rows().values()} == {"query"}
    finally:
        post.close()
