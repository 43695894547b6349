"""What is installed: backends and tasks, and why something is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points

from engines.api import Backend, Task
from engines.errors import BackendUnavailable, EngineError, PackageError

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


def default_device(backend: Backend) -> str:
    """Name the device of a backend where nobody names one: its ``default_device``, else the CPU."""
    own: str = getattr(backend, "default_device", "cpu")
    return own


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


__all__ = [
    "BACKENDS",
    "TASKS",
    "availability",
    "backend",
    "candidates",
    "choose",
    "default_device",
    "task",
]
