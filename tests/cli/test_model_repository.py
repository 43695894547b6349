"""``wetread models triton-repository``."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from node.cli.main import cli
from tests.engines.builders import manifest, network, write_package


@pytest.fixture
def fill(tmp_path):
    """Fill a model repository with the packages of the test."""

    def run(*names):
        command = ["models", "triton-repository", tmp_path / "triton", *names]
        options = ["--models-dir", tmp_path / "models"]
        return CliRunner().invoke(cli, [str(each) for each in (*command, *options)])

    for name, version in [("tiny", "1.0.0"), ("tiny", "2.0.0"), ("other", "1.0.0")]:
        content = manifest(metadata__name=name, metadata__version=version)
        write_package(tmp_path / f"models/{name}-{version}", content, network(kind="threshold"))
    return run


def test_every_version_of_every_package_goes_into_the_repository_once(fill, tmp_path):
    first, second = fill(), fill()
    assert first.exit_code == second.exit_code == 0, first.output
    names = ["other-1.0.0", "tiny-1.0.0", "tiny-2.0.0"]
    assert first.stdout.splitlines() == [f"{name}: written" for name in names]
    assert second.stdout.splitlines() == [f"{name}: already there" for name in names]
    assert sorted(folder.name for folder in (tmp_path / "triton").iterdir()) == names


def test_only_the_packages_named_go_into_the_repository(fill):
    assert fill("tiny").stdout.splitlines() == ["tiny-1.0.0: written", "tiny-2.0.0: written"]


def test_a_package_that_is_not_there_or_is_broken_ends_with_1_but_the_others_go(fill, tmp_path):
    (tmp_path / "models/other-1.0.0/model.onnx").write_bytes(b"no graph")
    result = fill()
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["tiny-1.0.0: written", "tiny-2.0.0: written"]
    assert "other-1.0.0: manifest.yaml" in result.stderr

    missing = fill("none", "tiny")
    assert missing.exit_code == 1
    assert missing.stderr.splitlines() == ["none: no such package; there are tiny"]


def test_a_repository_that_cannot_be_written_is_named(fill, tmp_path):
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton/tiny-1.0.0").write_text("a file")
    result = fill("tiny")
    assert result.exit_code == 1
    assert "triton/tiny-1.0.0" in result.stderr
    assert "tiny-2.0.0: written" in result.stdout
