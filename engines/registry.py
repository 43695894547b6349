"""What is installed: backends, tasks and model packages, and why something is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from engines.api import Backend, Task
from engines.backends import onnx_file
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


def candidates(
    preferred: Sequence[str | Backend], *, threads: int | None = None
) -> Iterator[tuple[Backend, str | None, tuple[str, ...]]]:
    """Give each backend that can run here, in order of preference, and why others were not.

    Parameters
    ----------
    preferred
        Names of entry points in `BACKENDS`, with or without ``@DEVICE``, or backends.
    threads
        CPU threads a named backend may use; all cores by default.

    Yields
    ------
    backend : Backend
    device : str or None
        As named; None: the backend's own.
    notes : tuple of str
        One for each backend passed over since the last one, with the reason.
    """
    passed: list[str] = []
    for wanted in preferred:
        try:
            found, device = _usable(wanted, threads)
        except BackendUnavailable as error:
            passed.append(str(error))
            continue
        yield found, device, tuple(passed)
        passed = []
    if passed and len(passed) == len(preferred):
        raise BackendUnavailable("; ".join(passed))


def choose(
    preferred: Sequence[str | Backend], *, threads: int | None = None
) -> tuple[Backend, tuple[str, ...]]:
    """Give the first backend that can run here, and a note on each that was passed over.

    Parameters
    ----------
    preferred, threads
        As for `candidates`.

    Raises
    ------
    BackendUnavailable
        If none can; the message has the reason of each.
    """
    for found, _, notes in candidates(preferred, threads=threads):
        return found, notes
    raise BackendUnavailable("no backend is named")


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

    def with_others(self, names: Iterable[str]) -> list[str]:
        """Give names of packages, and of the gates and coarse passes that they ask, sorted."""
        found = set(names)
        for name in tuple(found):
            found |= set(asked_by(self.get(name)).values())
        known = {package.name for package in self.packages}
        return sorted(found & known)


def asked_by(package: Package) -> dict[tuple[str, ...], str]:
    """Name the other packages that a package's runs need, each under the manifest's key."""
    manifest = package.manifest
    found: dict[tuple[str, ...], str] = {}
    if manifest.gate is not None:
        found["gate", "package"] = manifest.gate.package
    if manifest.infer.coarse is not None and manifest.infer.coarse.package is not None:
        found["infer", "coarse", "package"] = manifest.infer.coarse.package
    return found


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
    runner = backend(backend_name)
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
        session = runner.load(package, device=device or default_device(runner))
    except PackageError as error:
        yield Check("load", _at(package, "file", *str(error).splitlines()))
        return
    try:
        yield Check("load")
        yield Check("self-test", tuple(self_test(package, session)))
    finally:
        session.close()


def default_device(backend: Backend) -> str:
    """Name the device of a backend where nobody names one: its ``default_device``, else the CPU."""
    own: str = getattr(backend, "default_device", "cpu")
    return own


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


def _usable(wanted: str | Backend, threads: int | None) -> tuple[Backend, str | None]:
    if isinstance(wanted, str):
        name, _, device = wanted.partition("@")
        return backend(name, threads=threads), device or None
    if reason := wanted.missing():
        raise BackendUnavailable(f"backend {wanted.name!r}: {reason}")
    return wanted, None


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
    "Check",
    "asked_by",
    "availability",
    "backend",
    "candidates",
    "checks",
    "choose",
    "default_device",
    "packages",
    "task",
    "verify",
]
