"""The kernels compile."""

from __future__ import annotations

import shutil

import pytest

from engines.device import build
from engines.device.functions import Functions
from engines.errors import BackendUnavailable, NotOnDevice


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc: the CUDA toolkit is optional")
def test_all_kernels_compile_for_a_gpu(tmp_path):
    target = tmp_path / "kernels.fatbin"
    build.compile_kernels(target, ["90"])
    content = target.read_bytes()
    # Magic number of a fatbin, as fatbinary_section.h has it.
    assert content[:4] == (0xBA55ED50).to_bytes(4, "little")
    for kernel in (b"orient_int16", b"resample", b"gather", b"accumulate", b"activate", b"label"):
        assert kernel in content


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc: the CUDA toolkit is optional")
def test_an_architecture_that_is_none_is_refused_in_the_words_of_nvcc(tmp_path):
    with pytest.raises(BackendUnavailable, match=r"does not compile the kernels.*compute_11"):
        build.compile_kernels(tmp_path / "kernels.fatbin", ["11"])


def test_without_nvcc_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match="install the CUDA toolkit"):
        build.compile_kernels(tmp_path / "kernels.fatbin")


def test_kernels_are_loaded_once_and_only_when_one_is_launched():
    loaded = []
    functions = Functions(
        lambda fatbin: loaded.append(fatbin) or "module",
        lambda module, name: f"{name} of {module}",
        b"fatbin",
    )
    assert not loaded
    assert [functions["label"], functions["gather"], functions["label"]] == [
        "label of module",
        "gather of module",
        "label of module",
    ]
    assert loaded == [b"fatbin"]


def test_without_compiled_kernels_only_the_kernels_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "FATBIN", tmp_path / "kernels.fatbin")
    functions = Functions(lambda fatbin: fatbin, lambda module, name: name)
    with pytest.raises(NotOnDevice, match=r"not compiled \(kernels\.fatbin is missing\).*make ker"):
        functions["label"]


def test_kernels_that_the_device_does_not_take_are_missing_too():
    def refuse(fatbin):
        raise BackendUnavailable("the GPU kernels do not load: no binary for this GPU")

    functions = Functions(refuse, lambda module, name: name, b"fatbin")
    with pytest.raises(NotOnDevice, match="no binary for this GPU"):
        functions["label"]
