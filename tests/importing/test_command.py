"""The command that imports, as far as it goes without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.cli.main import cli
from tests.importing.sources import DATASET, METADATA, PLANS, inference


def write(folder: Path, **documents: Any) -> Path:
    for name, document in documents.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    return folder


def run(source: Path, out: Path) -> Result:
    return CliRunner().invoke(cli, ["models", "import", str(source), str(out)])


def test_a_refusal_names_the_transform_and_writes_nothing(tmp_path):
    configuration = inference(before={"_target_": "Lambdad", "keys": "image"})
    source = write(
        tmp_path / "bundle", configs__metadata=METADATA, configs__inference=configuration
    )
    said = run(source, tmp_path / "out")
    assert said.exit_code == 1
    assert "Lambdad" in said.output
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_source_is_told_what_would_be(tmp_path):
    said = run(tmp_path, tmp_path / "out")
    assert said.exit_code == 1
    for name in ("configs/inference.json", "plans.json", "model.ts"):
        assert name in said.output


@pytest.mark.parametrize(
    ("documents", "named"),
    [
        ({"plans": "{", "dataset": DATASET}, "plans.json"),
        ({"plans": "[]", "dataset": DATASET}, "plans.json"),
        ({"plans": PLANS}, "dataset.json"),
        ({"plans": PLANS, "dataset": {"labels": {"spleen": 1}}}, "channel_names"),
    ],
)
def test_documents_that_are_broken_or_missing_are_named(tmp_path, documents, named):
    said = run(write(tmp_path / "result", **documents), tmp_path / "out")
    assert said.exit_code == 1
    assert named in said.output
    assert "Traceback" not in said.output


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path):
    source = write(tmp_path / "result", plans=PLANS, dataset=DATASET)
    said = run(source, source)
    assert said.exit_code == 1
    assert "not an empty folder" in said.output
