"""The kernels compile."""

from __future__ import annotations

import shutil

import pytest

from engines.device import build
from engines.errors import BackendUnavailable


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
