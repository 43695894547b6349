"""What is said where TensorRT, the driver or the GPU is missing; each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from engines.backends.tensorrt.backend import TensorRTBackend
from engines.backends.tensorrt.machine import Machine
from engines.device.api import DeviceApi
from engines.errors import BackendUnavailable
from tests.engines import builders
from tests.engines.tensorrt.fake import GPU, Fake

# A driver as the CUDA Driver API describes it, with one GPU; cuInit gives what it is told.
DRIVER = r"""
#include <stdlib.h>
#include <string.h>
int cuInit(unsigned flags) { const char *said = getenv("STUB"); return said ? atoi(said) : 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Stub", size); return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) {
    *value = which == 75 ? 9 : which == 76 ? 1 : -1;
    return 0;
}
int cuDriverGetVersion(int *version) { *version = 13010; return 0; }
#ifndef OLD
int cuDeviceTotalMem_v2(size_t *size, int device) { *size = 1ul << 40; return 0; }
#endif
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compile the stub driver; gives the folder it lies in."""
    if "CI" not in os.environ and shutil.which("cc") is None:
        pytest.skip("there is no C compiler")

    def compile_(*flags: str):
        folder = tmp_path_factory.mktemp("driver")
        source = folder / "driver.c"
        source.write_text(DRIVER)
        library = folder / "libcuda.so.1"
        subprocess.run(["cc", "-shared", "-fPIC", *flags, "-o", library, source], check=True)
        return folder

    return compile_


def ask(code: str, **environment: str) -> str:
    """Run Python code in a new process and give what it prints."""
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.strip()


MISSING = "from engines.backends.tensorrt import driver; print(driver.missing())"


def test_the_driver_describes_its_gpu(compiled):
    code = (
        "import json; from dataclasses import asdict; from engines.backends.tensorrt import driver;"
        "print(json.dumps(asdict(driver.gpu(0))))"
    )
    assert json.loads(ask(code, LD_LIBRARY_PATH=str(compiled()))) == {
        "name": "Stub",
        "capability": "9.1",
        "driver": "13.1",
        "memory_bytes": 1 << 40,
    }


@pytest.mark.parametrize(
    ("stub", "says"),
    [("0", "None"), ("100", "shows no GPU"), ("999", "cuInit gives error 999")],
)
def test_a_driver_that_does_not_start_is_named_with_its_error(compiled, stub, says):
    assert says in ask(MISSING, LD_LIBRARY_PATH=str(compiled()), STUB=stub)


def test_a_driver_without_a_function_is_too_old(compiled):
    said = ask(MISSING, LD_LIBRARY_PATH=str(compiled("-DOLD")))
    assert said == "the NVIDIA driver has no cuDeviceTotalMem_v2; it is too old, update it"


def test_a_gpu_the_driver_does_not_show_is_refused(compiled):
    code = (
        "from engines.backends.tensorrt import driver\n"
        "try: driver.gpu(1)\n"
        "except Exception as error: print(error)"
    )
    said = ask(code, LD_LIBRARY_PATH=str(compiled()))
    assert said.startswith("there is no GPU cuda:1; the driver shows 1")


def test_the_package_imports_no_tensorrt_and_no_driver():
    code = (
        "import sys, engines.backends.tensorrt.backend;"
        "print(sorted({'tensorrt', 'tensorrt_rtx', 'pycuda', 'cuda', 'onnx'} & set(sys.modules)))"
    )
    assert ask(code) == "[]"


def test_without_any_tensorrt_the_backend_says_what_to_install():
    code = (
        "import sys; sys.modules.update(tensorrt=None, tensorrt_rtx=None);"
        "from engines.backends.tensorrt.backend import TensorRTBackend;"
        "print(TensorRTBackend().missing())"
    )
    said = ask(code)
    assert said.startswith("TensorRT is not installed (tensorrt: ")
    assert said.endswith("install it with pip install 'wetread[tensorrt]'")


def test_the_data_centres_tensorrt_comes_first(tmp_path):
    for name in ("tensorrt", "tensorrt_rtx"):
        (tmp_path / f"{name}.py").write_text("__version__ = '1.2.3'")
    code = "from engines.backends.tensorrt.flavour import flavour; print(flavour())"
    assert ask(code, PYTHONPATH=str(tmp_path)) == "Flavour(name='tensorrt', version='1.2.3')"


def test_a_broken_tensorrt_does_not_hide_the_other(tmp_path):
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.11: cannot open')")
    (tmp_path / "tensorrt_rtx.py").write_text("__version__ = '1.2.3'")
    code = "from engines.backends.tensorrt.flavour import flavour; print(flavour().name)"
    assert ask(code, PYTHONPATH=str(tmp_path)) == "tensorrt_rtx"


def machine(missing: str | None) -> Machine:
    def no_device(index: int) -> DeviceApi:
        raise BackendUnavailable(f"no way to GPU {index}")

    return Machine(Fake().flavour, lambda index: GPU, no_device, lambda: missing)


def test_a_missing_way_to_the_gpus_memory_is_said(tmp_path):
    backend = TensorRTBackend(machine=machine("no pycuda"), folder=tmp_path)
    assert backend.missing() == "no pycuda"


def test_a_gpu_that_cannot_be_opened_makes_the_backend_unavailable(tmp_path):
    backend = TensorRTBackend(machine=machine(None), folder=tmp_path)
    with pytest.raises(BackendUnavailable, match="no way to GPU 3"):
        backend.load(builders.package(tmp_path / "tiny"), device="cuda:3")
