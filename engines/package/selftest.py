"""Running a package's known answers."""

from __future__ import annotations

import zipfile

import numpy as np

from engines.api import Session
from engines.errors import InferenceError
from engines.package.load import Package
from engines.types import Array


def self_test(package: Package, session: Session) -> list[str]:
    """Run every self-test case of a package.

    Parameters
    ----------
    package
        Its cases are npz files with float32 arrays ``input`` and ``output``, batch first.
    session
        The package's model, loaded.

    Returns
    -------
    list of str
        What is wrong, with the manifest's line; empty if all cases agree.
    """
    if not package.manifest.selftest.cases:
        where = package.where("selftest", "cases")
        return [f"{where}: the package has no cases; nothing shows that it runs right here"]
    return [
        f"{package.where('selftest', 'cases', number)}: {case}: {finding}"
        for number, case in enumerate(package.manifest.selftest.cases)
        if (finding := _run_case(package, session, case)) is not None
    ]


def _run_case(package: Package, session: Session, case: str) -> str | None:
    try:
        given, expected = _read_case(package, case)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return f"is not an npz with numeric arrays `input` and `output` ({error})"
    model = package.manifest.model
    try:
        output = session.run({model.inputs[0].name: given})[model.outputs[0].name]
    except InferenceError as error:
        return f"the model failed ({error})"
    if output.shape != expected.shape:
        return f"the output has shape {output.shape}, expected {expected.shape}"
    largest = float(np.max(np.abs(output - expected), initial=0.0))
    limit = package.manifest.selftest.tolerance.max_abs
    if not largest <= limit:  # so that NaN is a finding
        return f"the output is off by {largest:.3g}; {limit:.3g} is allowed"
    return None


def _read_case(package: Package, case: str) -> tuple[Array, Array]:
    # allow_pickle stays off: a pickle would run code of the package.
    with np.load(package.root / case, allow_pickle=False) as arrays:
        return arrays["input"].astype(np.float32), arrays["output"].astype(np.float32)


__all__ = ["self_test"]
