"""TensorRT's own Python bindings: they have every name we use, and we use none they dropped.

The bindings need libraries that come from NVIDIA alone. Ten functions of theirs, made by a
C compiler and never called, are enough to import them.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "engines/backends/tensorrt"
STUBS = {
    "libnvinfer.so.11": [
        "createInferBuilder_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createInferRuntime_INTERNAL",
        "getBuilderPluginRegistry",
        "getPluginRegistry",
    ],
    "libnvonnxparser.so.11": [
        "createNvOnnxParserRefitter_INTERNAL",
        "createNvOnnxParser_INTERNAL",
        "getNvOnnxParserVersion",
    ],
    "libnvinfer_plugin.so.11": ["initLibNvInferPlugins"],
}

USED = {
    "": [
        "ILogger",
        "IProgressMonitor",
        "Builder",
        "OnnxParser",
        "Runtime",
        "NetworkDefinitionCreationFlag",
        "MemoryPoolType",
        "BuilderFlag",
        "DataType",
        "ExecutionContextAllocationStrategy",
    ],
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "MemoryPoolType": ["WORKSPACE"],
    "BuilderFlag": ["TF32"],
    "DataType": ["FLOAT"],
    "ExecutionContextAllocationStrategy": ["USER_MANAGED"],
    "Builder": [
        "create_network",
        "create_builder_config",
        "create_optimization_profile",
        "build_serialized_network",
    ],
    "OnnxParser": ["parse", "num_errors", "get_error"],
    "INetworkDefinition": [
        "num_inputs",
        "num_outputs",
        "get_input",
        "get_output",
        "unmark_output",
    ],
    "ITensor": ["name", "shape", "dtype"],
    "IBuilderConfig": [
        "builder_optimization_level",
        "set_memory_pool_limit",
        "clear_flag",
        "add_optimization_profile",
        "progress_monitor",
    ],
    "IOptimizationProfile": ["set_shape"],
    "IProgressMonitor": ["phase_start", "step_complete", "phase_finish"],
    "Runtime": ["deserialize_cuda_engine"],
    "ICudaEngine": [
        "create_execution_context",
        "num_optimization_profiles",
        "get_tensor_profile_shape",
    ],
    "IExecutionContext": [
        "set_optimization_profile_async",
        "set_input_shape",
        "infer_shapes",
        "get_tensor_shape",
        "update_device_memory_size_for_shapes",
        "set_device_memory",
        "set_tensor_address",
        "execute_async_v3",
    ],
}
"""Class → what we use of it; "" is the module."""

OURS = ("api", "builder", "config", "context", "engine", "network", "parser", "runtime", "shapes")
"""Names that hold TensorRT's objects in our source."""

REMOVED = {
    "BuilderFlag": ["FP16", "BF16", "INT8", "FP8", "OBEY_PRECISION_CONSTRAINTS"],
    "IBuilderConfig": ["int8_calibrator", "max_workspace_size"],
    "Builder": ["platform_has_fast_fp16", "build_engine", "max_batch_size"],
    "ICudaEngine": ["device_memory_size", "num_bindings", "get_binding_shape"],
    "IExecutionContext": ["execute_async_v2", "set_binding_shape"],
    "": ["IInt8EntropyCalibrator2", "IInt8MinMaxCalibrator", "IAlgorithmSelector"],
}
"""Class → what TensorRT 10 or 11 took away."""

ASK = """
import json, sys
import {module} as api
asked = json.load(sys.stdin)
lacking = [
    f"{{owner}}.{{name}}".lstrip(".")
    for owner, names in asked.items()
    for name in names
    if not hasattr(getattr(api, owner) if owner else api, name)
]
print(json.dumps(lacking))
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> Path:
    """Make the stub libraries the bindings are linked to."""
    if "CI" not in os.environ:
        if find_spec("tensorrt_bindings") is None:
            pytest.skip("TensorRT's bindings are not installed")
        if shutil.which("cc") is None:
            pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("stubs")
    for library, functions in STUBS.items():
        source = folder / "stub.c"
        source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", folder / library, source],
            check=True,
        )
    return folder


def lacking(module: str, asked: dict[str, list[str]], libraries: Path | None = None) -> list[str]:
    """Import the bindings in a process of their own and ask them for names."""
    environment = dict(os.environ)
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    said = subprocess.run(
        [sys.executable, "-c", ASK.format(module=module)],
        input=json.dumps(asked),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)


def test_tensorrt_11_has_every_name_we_use(libraries):
    assert lacking("tensorrt_bindings", USED, libraries) == []


def test_tensorrt_rtx_has_every_name_we_use():
    if "CI" not in os.environ and find_spec("tensorrt_rtx") is None:
        pytest.skip("TensorRT for RTX is not installed")
    assert lacking("tensorrt_rtx", USED) == []


def test_tensorrt_11_has_none_of_the_names_it_took_away(libraries):
    gone = [f"{owner}.{name}".lstrip(".") for owner, names in REMOVED.items() for name in names]
    assert sorted(lacking("tensorrt_bindings", REMOVED, libraries)) == sorted(gone)


def attributes() -> set[str]:
    """Every attribute that our source takes of an object of TensorRT's."""
    found = set()
    for file in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                owner = node.value
                while isinstance(owner, ast.Attribute) and owner.attr in USED:
                    owner = owner.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                if name.lstrip("_") in OURS:
                    found.add(node.attr)
    return found


def test_the_list_of_names_is_that_of_our_source():
    used = {name for names in USED.values() for name in names}
    # Of the device, of our own builder module, of the manifest, and what all classes have.
    others = {"close", "build", "Names", "cuda_graph", "__init__", "__version__"}
    assert attributes() - used <= others


def test_our_source_uses_no_name_that_was_taken_away():
    removed = {name for names in REMOVED.values() for name in names}
    assert not attributes() & removed
