"""The whole loop with a real PACS and a real MLLP client: images, reports, and what contradicts.

The models are tiny, so that what they find is known: every CT has the finding.
"""

from __future__ import annotations

from io import BytesIO

import hl7.client
import pytest
from pydicom import dcmread

from node.config.destination import DimseDestination
from node.deliver import scu
from node.reports import DiscordanceState
from tests.builders import ct_series
from tests.builders.files import write
from tests.builders.hl7 import code, oru
from tests.builders.network import free_port, wait_until
from tests.builders.sr import FINDINGS, container, structured_report, text_item
from tests.builders.tools import need, objections, run_tool
from tests.node.running import RunningNode
from tests.pacs.orthanc import Orthanc

pytestmark = pytest.mark.pacs

WORDS = ("Quagga", "Zebrafinch", "CRANIUM1", "ACCLOOP")


class Loop:
    """Orthanc and a node that reads reports, each the other's peer."""

    def __init__(self, folder):
        node_port = free_port()
        self.orthanc = Orthanc(folder / "orthanc", node_port)
        self.node = RunningNode(
            folder / "node",
            self.orthanc.port,
            pacs_ae_title="ORTHANC",
            port=node_port,
            results={"study_status": "none"},
            reports={
                "hl7": {
                    "host": "127.0.0.1",
                    "port": free_port(),
                    "accept_from": [{"host": "127.0.0.1"}],
                },
                "send_findings_to": ["pacs"],
                "send_discordances_to": ["pacs"],
            },
        )

    def report(self, *lines, **options):
        """Send a report as a RIS does."""
        port = self.node.config.reports.hl7.port
        with hl7.client.MLLPClient("127.0.0.1", port) as ris:
            answer = ris.send_message(oru(lines, **options))
        assert code(answer.strip(b"\x0b\x1c\r").decode()) == "AA"

    def store(self, datasets, folder):
        """C-STORE to the PACS, as a modality or a reporting system does."""
        folder.mkdir()
        orthanc = DimseDestination(ae_title="ORTHANC", host="127.0.0.1", port=self.orthanc.port)
        refused = []
        scu.send(
            write(datasets, folder),
            orthanc,
            "MODALITY",
            lambda _path, outcome: refused.append(outcome) if outcome.reason else None,
        )
        assert refused == []

    def objects(self, uid, words=""):
        """What the PACS lists under a study, by words of the series' description."""
        found = [
            dcmread(BytesIO(self.orthanc.download(f"/instances/{identifier}/file")))
            for identifier in self.orthanc.instances(uid).values()
        ]
        return [ds for ds in found if words in str(ds.get("SeriesDescription", ""))]

    def stands(self, uid):
        """State of the one discordance of a study."""
        return [row.state for row in self.node.stores.discordances.of_study(uid)]


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    need(Orthanc.missing())
    running = Loop(tmp_path_factory.mktemp("loop"))
    try:
        running.orthanc.start()
        running.node.start()
        yield running
    finally:
        running.node.stop()
        running.orthanc.stop()


def test_a_report_and_images_meet_and_the_pacs_holds_what_they_contradict(loop, tmp_path):
    images = ct_series(slices=4, seed="loop", AccessionNumber="ACCLOOP", PatientID="CRANIUM1")
    uid = str(images[0].StudyInstanceUID)
    wait_until(lambda: _listens(loop), within_s=30, what="the MLLP listener")

    loop.report("No pneumothorax, says Doctor Quagga.", accession="ACCLOOP")
    loop.store(images, tmp_path / "images")

    wait_until(lambda: loop.objects(uid, "discordance"), within_s=120, what="the discordance")
    wait_until(lambda: loop.objects(uid, "report findings"), within_s=60, what="the findings")
    assert loop.stands(uid) == [DiscordanceState.OPEN]
    assert {"CT", "SEG", "SR", "OT"} <= {ds.Modality for ds in loop.objects(uid)}
    for number, ds in enumerate(loop.objects(uid, "report")):
        path = tmp_path / f"{number}.dcm"
        ds.save_as(path, enforce_file_format=True)
        assert objections(path) == set()
        assert run_tool("dsrdump", path).returncode == 0
        assert (ds.PatientID, ds.AccessionNumber) == ("CRANIUM1", "ACCLOOP")

    correction = structured_report(
        container(FINDINGS, text_item("Large right pneumothorax, says Doctor Quagga.")),
        study=images[0],
        ContentDate="20300101",
    )
    loop.store([correction], tmp_path / "correction")

    wait_until(
        lambda: loop.stands(uid) == [DiscordanceState.RESOLVED],
        within_s=120,
        what="a structured report of a later day counts",
    )
    wait_until(lambda: len(loop.objects(uid, "discordance")) == 2, within_s=60, what="its object")
    sources = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for ds in loop.objects(uid, "report findings")
        for item in ds.ContentSequence
        if item.ValueType == "COMPOSITE"
    ]
    assert sources == [correction.SOPInstanceUID]
    log = loop.node.log_file.read_text(encoding="utf-8", errors="replace")
    assert "report.joined" in log
    assert [words for words in WORDS if words in log] == []


def _listens(loop):
    try:
        hl7.client.MLLPClient("127.0.0.1", loop.node.config.reports.hl7.port).close()
    except OSError:
        return False
    return True
