"""Loaded models, within a budget of memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

from engines.api import Session
from engines.errors import EngineError, OutOfMemory
from engines.package import Package

COST_PER_FILE = 3
"""Memory of a loaded model as a multiple of its file: the weights, a copy arranged for the
machine, and the activations of one batch. A rule of thumb; `runtime.gpu_memory_mb` is better."""

LEAST_COST_MB = 32


@dataclass
class _Loaded:
    key: Hashable
    session: Session
    cost_mb: int
    busy: bool = False


class Warm:
    """Sessions that stay loaded; the one unused for longest makes room, never one in use.

    Thread-safe. One session serves one caller at a time: a second caller of the same model
    gets a session of its own.

    Parameters
    ----------
    budget_mb
        What all loaded models may cost together, MiB; None: only the device itself limits it.
    """

    def __init__(self, budget_mb: int | None) -> None:
        self._budget_mb = budget_mb
        self._loaded: list[_Loaded] = []
        self._changed = Condition()
        self._closed = False

    @contextmanager
    def use(self, key: Hashable, cost_mb: int, load: Callable[[], Session]) -> Iterator[Session]:
        """Give a session, loaded if none is warm and idle, for as long as the context lasts.

        Waits while sessions in use leave no room. A model that alone costs more than the
        budget is loaded once nothing else is.

        Parameters
        ----------
        key
            What is loaded.
        cost_mb
            What it costs, MiB.
        load
            Loads it. Where the device has no room, idle sessions are closed one by one.

        Raises
        ------
        EngineError
            If this was closed, or what `load` raises.
        """
        entry = self._take(key, cost_mb, load)
        try:
            yield entry.session
        finally:
            with self._changed:
                entry.busy = False
                # The one used last is at the end.
                if entry in self._loaded:
                    self._loaded.remove(entry)
                    self._loaded.append(entry)
                self._changed.notify_all()

    def close(self) -> None:
        """Close every session, those in use when they are given back."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not any(each.busy for each in self._loaded))
            while self._evict():
                pass

    def _take(self, key: Hashable, cost_mb: int, load: Callable[[], Session]) -> _Loaded:
        with self._changed:
            entry = self._idle(key)
            while entry is None and not self._closed and not self._fits(cost_mb):
                if not self._evict():
                    self._changed.wait()
                entry = self._idle(key)
            if self._closed:
                raise EngineError("the pool is closed")
            if entry is None:
                entry = _Loaded(key, self._load(load), cost_mb)
                self._loaded.append(entry)
            entry.busy = True
            return entry

    def _load(self, load: Callable[[], Session]) -> Session:
        while True:
            try:
                return load()
            except OutOfMemory:
                if not self._evict():
                    raise

    def _idle(self, key: Hashable) -> _Loaded | None:
        return next((each for each in self._loaded if each.key == key and not each.busy), None)

    def _fits(self, cost_mb: int) -> bool:
        if self._budget_mb is None or not self._loaded:
            return True
        return sum(each.cost_mb for each in self._loaded) + cost_mb <= self._budget_mb

    def _evict(self) -> bool:
        for each in self._loaded:
            if not each.busy:
                self._loaded.remove(each)
                each.session.close()
                return True
        return False


def cost_mb(package: Package, device: str) -> int:
    """What a package's loaded model costs on a device, MiB: as its manifest says, or estimated."""
    said = package.manifest.runtime.gpu_memory_mb
    if device != "cpu" and said is not None:
        return said
    try:
        size = package.model_path.stat().st_size
    except OSError:
        size = 0  # loading it will say why
    return max(LEAST_COST_MB, COST_PER_FILE * size >> 20)


def machine_memory_mb() -> int:
    """Memory of the machine, MiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


__all__ = ["COST_PER_FILE", "LEAST_COST_MB", "Warm", "cost_mb", "machine_memory_mb"]
