"""Whether a package runs here and gives its known answers: ``wetread models verify``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engines import registry
from engines.backends import onnx_file
from engines.errors import PackageError
from engines.package import Package, self_test


@dataclass(frozen=True)
class Check:
    """One thing that was checked of a package.

    Parameters
    ----------
    name
        ``hash``, ``graph``, ``load`` or ``self-test``.
    findings
        What is wrong, each with the manifest's line; empty if nothing is.
    """

    name: str
    findings: tuple[str, ...] = ()


def checks(
    package: Package, *, backend_name: str = "onnx", device: str | None = None
) -> Iterator[Check]:
    """Check a package one thing after the other; ends with the first check that fails.

    The hash of the model file, the graph's operators and files, that a backend loads it and
    finds the inputs and outputs the manifest names, and the known answers.

    Parameters
    ----------
    package
        Loaded, so its manifest is valid.
    backend_name, device
        What to run it on; device None: the backend's own.

    Raises
    ------
    BackendUnavailable
        If the backend cannot run here: that says nothing about the package.
    """
    runner = registry.backend(backend_name)
    try:
        content = package.read_model()
    except PackageError as error:
        yield Check("hash", _at(package, "sha256", str(error)))
        return
    yield Check("hash")
    found = onnx_file.problems(content)
    yield Check("graph", _at(package, "file", *found))
    if found:
        return
    try:
        session = runner.load(package, device=device or registry.default_device(runner))
    except PackageError as error:
        yield Check("load", _at(package, "file", *str(error).splitlines()))
        return
    try:
        yield Check("load")
        yield Check("self-test", tuple(self_test(package, session)))
    finally:
        session.close()


def verify(package: Package, *, backend_name: str = "onnx", device: str | None = None) -> list[str]:
    """Check that a package runs here and gives its known answers.

    Parameters
    ----------
    package, backend_name, device
        As for `checks`.

    Returns
    -------
    list of str
        What is wrong, for an administrator; empty if nothing is.

    Raises
    ------
    BackendUnavailable
        If the backend cannot run here: that says nothing about the package.
    """
    done = checks(package, backend_name=backend_name, device=device)
    return [finding for check in done for finding in check.findings]


def _at(package: Package, key: str, *problems: str) -> tuple[str, ...]:
    """Put the line of a key under ``model`` before each problem."""
    where = package.where("model", key) if problems else ""
    start = f"{package.name}: {package.manifest.model.file}: "
    return tuple(f"{where}: {problem.removeprefix(start)}" for problem in problems)


__all__ = ["Check", "checks", "verify"]
