"""What is installed: backends, tasks and model packages, and why something is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from engines.api import Backend, Task
from engines.errors import BackendUnavailable, EngineError, PackageError
from engines.package import MANIFEST, Package, load_package, self_test

BACKENDS = "wetread.backends"
"""Entry point group: ``NAME = "module:Class"``; the class is called with ``threads=…``."""

TASKS = "wetread.tasks"
"""Entry point group: ``NAME = "module:Class"``; the class is called without arguments."""


def backend(name: str, *, threads: int | None = None) -> Backend:
    """Return a backend that can run here; else say why, and which names exist.

    Parameters
    ----------
    name
        Name of an entry point in `BACKENDS`.
    threads
        CPU threads the backend may use; all cores by default.

    Raises
    ------
    BackendUnavailable
        If there is none of that name, it cannot be imported, or it cannot run here.
    """
    entries = _entries(BACKENDS)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise BackendUnavailable(f"no backend {name!r}; installed: {known}")
    try:
        found: Backend = entries[name].load()(threads=threads)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailable(f"backend {name!r} cannot be imported: {error}") from error
    if reason := found.missing():
        raise BackendUnavailable(f"backend {name!r}: {reason}")
    return found


def availability() -> list[tuple[str, str | None]]:
    """List every installed backend with the reason why it cannot run here, or None."""
    return [(name, _reason(name)) for name in sorted(_entries(BACKENDS))]


def task(name: str) -> Task:
    """Return a task; else say which names exist.

    Raises
    ------
    PackageError
        If there is none of that name, or it cannot be imported.
    """
    entries = _entries(TASKS)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise PackageError(f"no task {name!r}; installed: {known}")
    try:
        found: Task = entries[name].load()()
    except (ImportError, AttributeError) as error:
        raise PackageError(f"task {name!r} cannot be imported: {error}") from error
    return found


@dataclass(frozen=True)
class Catalogue:
    """What a folder of model packages holds.

    Parameters
    ----------
    packages
        Every good package, by name, oldest version first.
    errors
        Folder name → what is wrong with the package in it.
    """

    packages: tuple[Package, ...]
    errors: dict[str, PackageError]

    def get(self, name: str, version: str | None = None) -> Package:
        """Return one package; without a version, the newest.

        A pre-release is only newest where there is nothing else.

        Raises
        ------
        PackageError
            If there is none; the message lists what there is.
        """
        named = [package for package in self.packages if package.name == name]
        fitting = [package for package in named if version in (None, package.version)]
        if not fitting:
            known = ", ".join(f"{each.name}@{each.version}" for each in named or self.packages)
            wanted = name if version is None else f"{name}@{version}"
            raise PackageError(f"no model package {wanted}; installed: {known or 'none'}")
        released = [package for package in fitting if "-" not in package.version.split("+")[0]]
        return (released or fitting)[-1]


def packages(models_dir: Path) -> Catalogue:
    """Load every package folder in a folder; a bad one does not stop the others.

    A folder counts as a package if it has a manifest or an ONNX file.

    Raises
    ------
    PackageError
        If `models_dir` is not a folder.
    """
    if not models_dir.is_dir():
        raise PackageError(f"{models_dir} is not a folder")
    good: dict[tuple[str, str], Package] = {}
    errors: dict[str, PackageError] = {}
    for folder in sorted(models_dir.iterdir()):
        if folder.name.startswith(".") or not _is_package(folder):
            continue
        try:
            package = load_package(folder)
            task(package.manifest.model.task)
        except PackageError as error:
            errors[folder.name] = error
            continue
        first = good.setdefault((package.name, package.version), package)
        if first is not package:
            identity = f"{package.name}@{package.version}"
            errors[folder.name] = PackageError(f"{identity} is already in {first.root.name}")
    ordered = sorted(good.values(), key=lambda package: (package.name, _order(package.version)))
    return Catalogue(tuple(ordered), errors)


def verify(package: Package, *, backend_name: str = "onnx", device: str = "cpu") -> list[str]:
    """Check that a package runs here and gives its known answers.

    Parameters
    ----------
    package
        Loaded, so its manifest is valid.
    backend_name, device
        What to run it on.

    Returns
    -------
    list of str
        What is wrong, for an administrator; empty if nothing is.

    Raises
    ------
    BackendUnavailable
        If the backend cannot run here: that says nothing about the package.
    """
    try:
        task(package.manifest.model.task)
        session = backend(backend_name).load(package, device=device)
    except PackageError as error:
        return str(error).splitlines()
    try:
        return self_test(package, session)
    finally:
        session.close()


def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def _reason(name: str) -> str | None:
    try:
        backend(name)
    except EngineError as error:
        return str(error)
    return None


def _is_package(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MANIFEST).exists() or any(folder.glob("*.onnx")))


def _order(version: str) -> tuple[object, ...]:
    """Sort key of a semantic version (semver.org, item 11)."""
    core, _, pre = version.split("+")[0].partition("-")
    return (*(int(part) for part in core.split(".")), pre == "", tuple(_identifiers(pre)))


def _identifiers(pre: str) -> Iterator[tuple[bool, int, str]]:
    for part in pre.split("."):
        yield (False, int(part), "") if part.isdigit() else (True, 0, part)


__all__ = [
    "BACKENDS",
    "TASKS",
    "Catalogue",
    "availability",
    "backend",
    "packages",
    "task",
    "verify",
]
