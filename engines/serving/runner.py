"""Running one package: where it can, and if that fails, in the next way that may work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial

from engines import registry
from engines.api import Box, Session
from engines.errors import BackendUnavailable, DeviceLost, EngineError
from engines.package import Package
from engines.serving.ladder import Rung, below, lasts, leads_elsewhere
from engines.serving.lane import Lane
from engines.serving.places import Places
from engines.serving.warm import Warm, cost_mb
from engines.serving.watch import Watched
from engines.serving.work import Work, on_device, on_host, sweeps
from engines.types import Provenance, Result, Volume

Turn = tuple[int, float]
"""Priority, and when it is due: as `Lane.hold` takes them."""

CPU_OVERLAP = 0.25
"""Largest overlap of windows on a CPU for packages with ``runtime.cpu: fast-only``."""


class Runner:
    """Runs packages, one way after the other until one works; safe to call from several threads.

    Parameters
    ----------
    places
        Where packages can run, the preferred place first.
    warm
        Keeps their sessions.
    lane
        Says whose turn it is.
    """

    def __init__(self, places: Places, warm: Warm, lane: Lane) -> None:
        self._places, self._warm, self._lane = places, warm, lane
        self._rungs: dict[str, Rung] = {}
        self._lost = ""

    def run(
        self,
        package: Package,
        volumes: Sequence[Volume],
        turn: Turn,
        region: Box | None = None,
    ) -> tuple[Result, Provenance]:
        """Run one package, in whichever way works.

        Parameters
        ----------
        package
            What to run.
        volumes
            One per input channel, all on one grid.
        turn
            When it is its turn.
        region
            Part of the images that counts; None: all of it.

        Raises
        ------
        EngineError
            Where no way works, that of the last one.
        DeviceLost
            If the device's context is broken, now or by an earlier run.
        """
        rung = self._rung(package)
        while True:
            try:
                work = self._ready(package, rung, volumes, region)
                return self._attempt(package, rung, work, turn)
            except DeviceLost as error:
                self._lost = str(error)
                raise
            except EngineError as error:
                rung = self._below(package, rung, error)

    def _attempt(
        self, package: Package, rung: Rung, work: Work, turn: Turn
    ) -> tuple[Result, Provenance]:
        with ExitStack() as held:
            held.enter_context(self._lane.hold(*turn))
            session = held.enter_context(self._session(package, rung))
            limit_s = package.manifest.runtime.timeout_s
            # A sweep computes while its slabs are read: the lane is free after the last one.
            watched = Watched(session, package.name, limit_s, swept=held.close)
            result = work.run(watched, held.close)
        place = self._places[rung.place]
        provenance = Provenance(
            model=package.name,
            version=package.version,
            weights_sha256=package.manifest.model.sha256,
            backend=place.backend.name,
            device=place.device,
            seconds=watched.seconds,
            notes=(*place.notes, *rung.notes, *getattr(session, "notes", ()), *work.notes),
        )
        return result, provenance

    def _ready(
        self, package: Package, rung: Rung, volumes: Sequence[Volume], region: Box | None
    ) -> Work:
        """Get a run ready, all of it that needs no model."""
        fast = self._check_device(package, rung)
        notes: tuple[str, ...] = fast
        task = registry.task(package.manifest.model.task)
        if self._on_device(package, rung):
            found = on_device(task, package, volumes, rung.batch, region)
            if not isinstance(found, str):
                return found
            notes = (f"swept on the host: {found}", *fast)
        overlap = CPU_OVERLAP if fast else None
        return on_host(
            task, package, volumes, rung.batch, region, most_overlap=overlap, notes=notes
        )

    def _on_device(self, package: Package, rung: Rung) -> bool:
        """Whether the whole sweep is to be done on the device."""
        able = rung.on_device and self._places[rung.place].labels_on_device
        return able and sweeps(package, registry.task(package.manifest.model.task))

    def load(self, package: Package) -> None:
        """Load a package where it can run, and keep it warm."""
        rung = self._rung(package)
        while True:
            try:
                with self._lane.hold(), self._session(package, rung):
                    return
            except EngineError as error:
                rung = self._below(package, rung, error)

    def _session(self, package: Package, rung: Rung) -> AbstractContextManager[Session]:
        """Give the package's session, loaded if it is not warm; for holders of the lane."""
        if self._lost:
            raise DeviceLost(f"the device was lost before: {self._lost}")
        self._check_device(package, rung)
        place = self._places[rung.place]
        load: Callable[..., Session] = place.backend.load
        asked = {} if rung.precision is None else {"precision": rung.precision}
        return self._warm.use(
            (package.digest, rung.place, rung.precision),
            cost_mb(package, place.device),
            partial(load, package, device=place.device, **asked),
        )

    def _rung(self, package: Package) -> Rung:
        return self._rungs.get(package.digest) or Rung(0, package.manifest.infer.batch)

    def _below(self, package: Package, rung: Rung, error: EngineError) -> Rung:
        """Give the next way to run a package, kept where memory has forced it; else raise."""
        batch = package.manifest.infer.batch
        found = below(rung, error, batch, on_device=self._on_device(package, rung))
        if found is None and leads_elsewhere(error) and (place := self._places.get(rung.place + 1)):
            why = f"{place} instead of {self._places[rung.place]}: {error}"
            found = Rung(rung.place + 1, batch, notes=(*rung.notes, why))
        if found is None:
            raise error
        if lasts(error):
            self._rungs[package.digest] = found
        return found

    def _check_device(self, package: Package, rung: Rung) -> tuple[str, ...]:
        """Apply ``runtime.cpu``; returns what the result's provenance must say about it."""
        policy = package.manifest.runtime.cpu
        if self._places[rung.place].device != "cpu" or policy == "allowed":
            return ()
        if policy == "never":
            raise BackendUnavailable(f"{package.name} does not allow the CPU (runtime.cpu: never)")
        infer_ = package.manifest.infer
        overlap = 0.5 if infer_.overlap is None else infer_.overlap
        if infer_.mode != "sliding_window" or overlap <= CPU_OVERLAP:
            return ()
        return (f"windows overlap by {CPU_OVERLAP} instead of {overlap} on the CPU",)


__all__ = ["CPU_OVERLAP", "Runner", "Turn"]
