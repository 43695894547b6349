"""The implementations for GPUs call the driver as the contract wants it.

Where there is no GPU, a driver made for the test stands for NVIDIA's: its device is the
host. That the calls are right is shown; that a GPU does the same is not.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engines.device.host import compile_host
from tests.engines.device.devices import STUB

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """Folder with a libcuda.so.1."""
    folder = tmp_path_factory.mktemp("driver")
    source = (HERE / "driver.cpp").read_text(encoding="utf-8")
    # PyCUDA does not load unless there are all functions that it could ever call.
    others = sorted(wanted_by_pycuda() - set(re.findall(r"CALL (\w+)\(", source)))
    source += "\n".join(f"CALL {name}() {{ return INVALID; }}" for name in others)
    compile_host(folder / "libcuda.so.1", source)
    return folder


def wanted_by_pycuda() -> set[str]:
    """Functions of the driver that PyCUDA's extension module names."""
    found = importlib.util.find_spec("pycuda")
    folder = Path(str(found.origin)).parent if found else HERE
    modules = [path.read_bytes() for path in folder.glob("_driver*.so")]
    names = (re.findall(rb"\0(cu[A-Z]\w+)(?=\0)", content) for content in modules)
    return {name.decode() for found in names for name in found}


@pytest.mark.parametrize(("name", "module"), [("pycuda", "pycuda"), ("cuda-bindings", "cuda")])
def test_the_contract_holds_on_a_driver_that_is_a_stub(stub, name, module):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"not run on a GPU: {name} is not installed")
    command = [sys.executable, "-m", "pytest", str(HERE / "test_contract.py"), "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-k", f"[{name}"],
        env={**os.environ, "LD_LIBRARY_PATH": str(stub), STUB: "1"},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not run on a GPU" not in done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 10
