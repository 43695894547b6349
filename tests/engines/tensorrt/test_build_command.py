"""``wetread models build`` as an administrator uses it."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from engines.backends.tensorrt import driver
from node.cli.main import cli
from tests.engines import builders


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Run the command over one good package, with plans kept in the test's folder."""
    if "CI" not in os.environ:
        pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    monkeypatch.setenv("WETREAD_TENSORRT_CACHE", str(tmp_path / "plans"))
    builders.package(tmp_path / "models" / "tiny")
    models = ["--models-dir", str(tmp_path / "models")]
    return lambda *arguments: CliRunner().invoke(cli, ["models", "build", *models, *arguments])


def test_a_package_can_be_checked_without_a_gpu_and_nothing_is_kept(build, tmp_path):
    result = build("--check")
    assert result.exit_code == 0
    assert "tiny 1.0.0 fp32: can be built" in result.stdout
    assert not (tmp_path / "plans").exists()


def test_a_precision_that_is_not_allowed_is_refused_with_exit_code_1(build):
    result = build("tiny", "--check", "--precision", "fp32", "--precision", "int8")
    assert result.exit_code == 1
    assert "tiny 1.0.0 fp32: can be built" in result.stdout
    assert "int8 is refused: the manifest allows fp32" in result.stderr


@pytest.mark.skipif(driver.missing() is None, reason="there is a GPU")
def test_without_a_gpu_the_command_says_what_is_missing(build):
    result = build()
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no NVIDIA driver")


def test_a_package_that_is_not_there_is_named(build):
    result = build("large", "--check")
    assert result.exit_code == 1
    assert "no model package large; installed: tiny@1.0.0" in result.stderr


def test_calibration_files_must_hold_inputs(build, tmp_path):
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "one.npz").write_bytes(b"nothing")
    result = build("--check", "--calibration", str(tmp_path / "calibration"))
    assert result.exit_code == 1
    assert "one.npz: is no npz with an array `input`" in result.stderr
