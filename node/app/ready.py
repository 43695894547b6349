"""Making models ready before the first study: plans are built here, with progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

import structlog

from engines.errors import EngineError
from engines.pool import Pool

log = structlog.get_logger(__name__)

TELL_EVERY_S = 1.0
LOG_EVERY_S = 15.0


class Stopped(Exception):  # noqa: N818 - an order, not a mistake
    """The process was asked to end while a plan was built."""


class Progress:
    """Passes on how far a build is, now and then.

    Parameters
    ----------
    show
        Takes a sentence for the status page, None when nothing is built any more.
    stop
        Ends the build when it is set.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, show: Callable[[str | None], None], stop: Event, clock: Callable[[], float]
    ) -> None:
        self._show, self._stop, self._clock = show, stop, clock
        self._shown = self._logged = -LOG_EVERY_S
        self._told = False

    def __call__(self, phase: str, done: int, steps: int) -> None:
        """Pass on one step.

        Raises
        ------
        Stopped
            If the process is to end.
        """
        if self._stop.is_set():
            raise Stopped(phase)
        now = self._clock()
        if now - self._shown >= TELL_EVERY_S:
            self._shown, self._told = now, True
            self._show(f"{phase}, step {done} of {steps}")
        if now - self._logged >= LOG_EVERY_S:
            self._logged = now
            log.info("plan.building", phase=phase, done=done, steps=steps)

    def end(self) -> None:
        """Say that nothing is built any more."""
        if self._told:
            self._show(None)


def make_ready(pool: Pool, names: Sequence[str], progress: Progress) -> None:
    """Build what the packages lack, then load them; a bad one is logged and stops no other.

    Parameters
    ----------
    pool
        Has the packages.
    names
        Of packages that rules want.
    progress
        Told of every step.
    """
    try:
        for name, problem in pool.make_ready(names, progress):
            log.error("plan.not_built", model=name, reason=problem)
    except Stopped as error:
        log.info("plan.stopped", phase=str(error))
        return
    finally:
        progress.end()
    for name in names:
        try:
            pool.preload([name])
        except EngineError as error:
            log.error("package.not_loaded", model=name, reason=str(error))  # noqa: TRY400


__all__ = ["LOG_EVERY_S", "TELL_EVERY_S", "Progress", "Stopped", "make_ready"]
