"""What to try where a run has failed: less at a time, more exactly, or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engines.errors import BackendUnavailable, EngineError, NotFinite, NotOnDevice, OutOfMemory


@dataclass(frozen=True)
class Rung:
    """One way to run a package.

    Parameters
    ----------
    place
        Number of the backend in the order of preference.
    batch
        Windows or slices per call.
    precision
        What to compute in; None: as the backend finds best.
    on_device
        Whether the whole sweep is done on the device, where the backend can.
    notes
        Why it is not the first way; for the result's provenance.
    """

    place: int
    batch: int
    precision: str | None = None
    on_device: bool = True
    notes: tuple[str, ...] = ()


def below(rung: Rung, error: EngineError, batch: int, *, on_device: bool) -> Rung | None:
    """Give the next rung on the same backend; None where only another backend may help.

    Parameters
    ----------
    rung
        The way that failed.
    error
        How it failed. Out of memory: half of the batch, then one, then the sweep on the host.
        Not finite: float32.
    batch
        The package's own batch.
    on_device
        Whether the whole sweep was to be done on the device.
    """
    if isinstance(error, OutOfMemory) and rung.batch > 1:
        less = batch // 2 if rung.batch == batch and batch > 3 else 1
        return _noted(replace(rung, batch=less), f"no memory for batch {rung.batch}: batch {less}")
    if on_device and isinstance(error, OutOfMemory | NotOnDevice):
        return _noted(replace(rung, on_device=False), f"swept on the host: {error}")
    if isinstance(error, NotFinite) and "fp32" not in (error.precision, rung.precision):
        why = f"the output in {error.precision} was not finite: computed in fp32"
        return _noted(replace(rung, precision="fp32"), why)
    return None


def lasts(error: EngineError) -> bool:
    """Whether the package's next runs would fail the same way, and had better not try."""
    return leads_elsewhere(error) or isinstance(error, NotOnDevice)


def leads_elsewhere(error: EngineError) -> bool:
    """Whether another backend may do what this one could not."""
    return isinstance(error, OutOfMemory | BackendUnavailable)


def _noted(rung: Rung, note: str) -> Rung:
    return replace(rung, notes=(*rung.notes, note))


__all__ = ["Rung", "below", "lasts", "leads_elsewhere"]
