"""Model packages: an ONNX graph, a manifest and self-test cases; data only, no code."""

from engines.package.load import MANIFEST, Package, load_package
from engines.package.manifest import Manifest, manifest_json_schema
from engines.package.selftest import self_test

__all__ = [
    "MANIFEST",
    "Manifest",
    "Package",
    "load_package",
    "manifest_json_schema",
    "self_test",
]
