"""`wetread probe`: what a destination takes, and what its profile makes of that."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner
from pydicom.uid import SecondaryCaptureImageStorage, SegmentationStorage

from node.cli.main import cli
from tests.builders.network import free_port, peer
from tests.deliver.origin import origin

pytestmark = pytest.mark.loopback


@pytest.fixture
def probe(tmp_path):
    def run(destination):
        config = tmp_path / "wetread.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "data_dir": str(tmp_path / "data"),
                    "models_dir": str(tmp_path),
                    "destinations": {"pacs": destination},
                    "profiles": {"ours": {"seg": ["SEG_LABELMAP", "SEG_BINARY"], "sc": ["SC"]}},
                    "rules": [{"name": "a", "when": {}, "run": ["m"], "send_to": ["pacs"]}],
                }
            )
        )
        (tmp_path / "m").mkdir(exist_ok=True)
        result = CliRunner().invoke(cli, ["probe", "pacs", "--config", str(config), "--json"])
        rows = json.loads(result.output) if result.exit_code == 0 else []
        return result, {row["kind"]: row for row in rows}

    return run


def dimse(port, **keys):
    return {"ae_title": "MAINPACS", "host": "127.0.0.1", "port": port, "timeout_s": 5, **keys}


def test_what_is_taken_is_sent_and_what_is_not_is_replaced(probe):
    with peer(sop_classes=[SegmentationStorage, SecondaryCaptureImageStorage]) as pacs:
        _, rows = probe(dimse(pacs.port, profile="ours"))

    assert (rows["SEG"]["wanted"], rows["SEG"]["sent"]) == ("SEG_LABELMAP", "SEG_BINARY")
    assert "does not accept SEG_LABELMAP" in rows["SEG"]["why"]
    assert (rows["SC"]["sent"], rows["SC"]["why"]) == ("SC", "")
    assert (rows["SR"]["wanted"], rows["SR"]["why"]) == (None, "not in the profile")


def test_a_destination_that_takes_nothing_is_said_to(probe):
    with peer(sop_classes=["1.2.840.10008.5.1.4.1.1.2"]) as pacs:
        _, rows = probe(dimse(pacs.port, profile="plain"))

    assert (rows["SC"]["wanted"], rows["SC"]["sent"]) == ("SC", None)


def test_an_origin_server_says_nothing_beforehand(probe):
    with origin() as server:
        url = f"http://127.0.0.1:{server.port}/dicom-web"
        _, rows = probe({"kind": "dicomweb", "url": url})

    assert rows["SEG"]["sent"] == "SEG_BINARY"


def test_a_destination_that_is_away_is_an_error(probe):
    result, _ = probe(dimse(free_port()))

    assert result.exit_code == 1
    assert "cannot be reached" in result.output
