"""What is installed, and why something is not there."""

from __future__ import annotations

import numpy as np
import pytest

from engines import registry
from engines.catalogue import packages
from engines.errors import BackendUnavailable, PackageError
from tests.engines import builders


def test_an_unknown_backend_names_those_that_are_installed():
    with pytest.raises(BackendUnavailable, match=r"no backend 'gpu'; installed: .*onnx"):
        registry.backend("gpu")


def test_an_unknown_task_names_those_that_are_installed():
    with pytest.raises(PackageError, match=r"no task 'dream'; installed: .*classify, .*segment"):
        registry.task("dream")


def test_the_default_backend_can_run_here():
    assert ("onnx", None) in registry.availability()


def test_a_bad_package_does_not_stop_the_others(tmp_path):
    builders.package(tmp_path / "good")
    broken = builders.write_package(
        tmp_path / "broken", builders.manifest(), builders.network(kind="threshold")
    )
    (broken / "manifest.yaml").write_text("kind: Cake")
    builders.write_package(
        tmp_path / "dreaming", builders.manifest(task="dream"), builders.network()
    )
    (tmp_path / "recipes").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "model.onnx").touch()

    found = packages(tmp_path)

    assert [package.name for package in found.packages] == ["tiny"]
    assert set(found.errors) == {"broken", "dreaming", "bare"}
    assert "no task 'dream'" in str(found.errors["dreaming"])
    assert "manifest.yaml: is missing" in str(found.errors["bare"])


def test_the_same_package_twice_is_an_error_of_the_second(tmp_path):
    builders.package(tmp_path / "a")
    builders.package(tmp_path / "b")
    found = packages(tmp_path)
    assert len(found.packages) == 1
    assert str(found.errors["b"]) == "tiny@1.0.0 is already in a"


def test_the_newest_release_is_the_default(tmp_path):
    for number, version in enumerate(["1.10.0", "1.9.0", "2.0.0-rc.1", "1.10.0-rc.2"]):
        builders.package(tmp_path / str(number), metadata__version=version)
    found = packages(tmp_path)
    assert found.get("tiny").version == "1.10.0"
    assert found.get("tiny", "2.0.0-rc.1").version == "2.0.0-rc.1"
    assert [package.version for package in found.packages] == [
        "1.9.0",
        "1.10.0-rc.2",
        "1.10.0",
        "2.0.0-rc.1",
    ]


def test_a_package_that_is_not_there_names_those_that_are(tmp_path):
    builders.package(tmp_path / "a")
    found = packages(tmp_path)
    with pytest.raises(PackageError, match=r"no model package big; installed: tiny@1\.0\.0"):
        found.get("big")
    with pytest.raises(PackageError, match=r"no model package tiny@3\.0\.0"):
        found.get("tiny", "3.0.0")


def test_a_models_folder_that_is_none_is_an_error(tmp_path):
    with pytest.raises(PackageError, match="is not a folder"):
        packages(tmp_path / "none")


def test_no_weights_are_kept_by_a_catalogue(tmp_path):
    package = builders.package(tmp_path / "a")
    assert not any(isinstance(value, bytes | np.ndarray) for value in vars(package).values())


def test_the_first_backend_that_can_run_is_chosen_and_the_others_say_why_not():
    chosen, notes = registry.choose(["magic", "onnx", "wonder"])

    assert chosen.name == "onnx"
    (note,) = notes
    assert note.startswith("no backend 'magic'; installed: ")


def test_a_device_is_named_behind_the_backend():
    ((backend, device, notes), *_) = registry.candidates(["onnx@cpu"])

    assert (backend.name, device, notes) == ("onnx", "cpu", ())


def test_where_none_can_run_the_reason_of_each_is_given():
    with pytest.raises(BackendUnavailable, match=r"no backend 'magic'.*; no backend 'wonder'"):
        registry.choose(["magic", "wonder"])


def test_without_a_name_there_is_nothing_to_choose():
    with pytest.raises(BackendUnavailable, match="no backend is named"):
        registry.choose([])
