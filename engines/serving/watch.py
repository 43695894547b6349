"""A run that is timed, and given up where it takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import cast

from engines.api import DeviceJob, DeviceSession, Session, Slab, WindowPlan
from engines.errors import Timeout
from engines.types import FloatArray, LabelArray, Tensors


class Watched:
    """A session of one run: counts the time inside the model, and ends the run at its limit.

    The limit is looked at before and after every call of the model and between the slabs of a
    sweep. A call that has begun cannot be broken off: a run ends late by one call or slab, and
    one on a device, which is a single call, when it is done.

    Parameters
    ----------
    session
        Does the work; stays the owner's to close. `label` needs one that has it, too.
    name
        Of the package, for the message.
    limit_s
        ``runtime.timeout_s``; counted from now.
    swept
        Called when a sweep has given its last slab: the device is free.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        limit_s: float,
        swept: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.seconds = 0.0
        self._session, self._name, self._limit_s = session, name, limit_s
        self._swept, self._clock = swept, clock
        self._began = clock()

    def run(self, inputs: Tensors) -> Tensors:
        """Run one batch.

        Raises
        ------
        Timeout
            If the limit has passed before or after it.
        """
        began = self._check()
        output = self._session.run(inputs)
        self.seconds += self._check() - began
        return output

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> Iterator[Slab]:
        """Sweep a volume.

        Raises
        ------
        Timeout
            If the limit passes before the last slab.
        """
        began = self._check()
        for slab in self._session.sweep(volume, plan):
            self.seconds += self._check() - began
            yield slab
            began = self._check()
        self._swept()

    def label(self, job: DeviceJob) -> LabelArray:
        """Take a volume's whole way on the device, all of which counts as time inside the model.

        Raises
        ------
        Timeout
            If the limit has passed before or after it.
        """
        session = cast("DeviceSession", self._session)
        began = self._check()
        labels = session.label(job)
        self.seconds += self._check() - began
        return labels

    def close(self) -> None:
        """Do nothing: the owner closes the session."""

    def _check(self) -> float:
        now = self._clock()
        if now - self._began > self._limit_s:
            raise Timeout(
                f"{self._name} did not finish within its runtime.timeout_s of {self._limit_s:g} s"
            )
        return now


__all__ = ["Watched"]
