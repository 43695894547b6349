"""Fuzz one target with atheris: ``python -m tests.fuzz.guided TARGET CORPUS [libFuzzer flags]``.

A target is a name in `TARGETS`, or a check as ``module:function``.
"""

from __future__ import annotations

import importlib
import sys

import atheris

with atheris.instrument_imports(
    include=["node.store", "node.receive", "node.report", "node.deliver"]
):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run libFuzzer; it ends the process."""
    name = sys.argv[1]
    if ":" in name:
        module, function = name.split(":")
        with atheris.instrument_imports(include=[module]):
            check = getattr(importlib.import_module(module), function)
    else:
        check = TARGETS[name].check
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: check(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
