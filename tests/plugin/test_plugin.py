"""A distribution of somebody else adds a backend, a task and an encoder to the core as it is."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from tests.plugin.installed import TOY, install, node_says


@pytest.fixture
def site(tmp_path):
    return tmp_path / "site-packages"


def test_a_plug_in_brings_its_backend_task_and_encoder(tmp_path, site):
    install(TOY, site)

    said = node_says(tmp_path / "node", site, backend="toy", task="toy-task")

    assert said["availability"]["toy"] is None
    assert said["problems"] == []
    assert said["product"] == {"type": "Brightest", "backend": "toy"}
    assert said["destinations"] == ["pacs"]
    [made] = [Dataset.from_json(each) for each in said["objects"]]
    assert made.DerivationDescription.startswith("Brightest voxel: 400 at (")
    assert made.SeriesDescription == "AI tiny SC UNVERIFIED"
    assert made.Manufacturer == "Wetread"
    assert made.PatientID == "BUILDER-1"


def test_a_plug_ins_task_runs_on_the_cores_backend(tmp_path, site):
    install(TOY, site)

    said = node_says(tmp_path / "node", site, backend="onnx", task="toy-task")

    assert said["problems"] == []
    assert said["product"] == {"type": "Brightest", "backend": "onnx"}
    assert len(said["objects"]) == 1


def test_without_the_plug_in_its_package_is_left_out_and_the_study_says_so(tmp_path):
    said = node_says(tmp_path / "node", backend="onnx", task="toy-task")

    assert "toy" not in said["availability"]
    assert said["objects"] == []
    assert any("plugged is not among the packages" in reason for reason in said["not_run"])


def test_a_plug_in_that_cannot_be_imported_does_not_stop_the_others(tmp_path, site):
    install(
        TOY,
        site,
        wetread_encoders={"broken": "no_such_module"},
        wetread_backends={"broken": "no_such_module:Backend"},
    )

    said = node_says(tmp_path / "node", site, backend="onnx", task="segment")

    assert "cannot be imported" in said["availability"]["broken"]
    assert said["problems"] == []
    assert len(said["objects"]) == 1
    assert '"encoder.broken"' in said["log"]
    assert "no_such_module" in said["log"]
