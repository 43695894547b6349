"""Each kind of destination behind the same words; the rest of the node knows only these.

To add a kind: a class in `node.config.destination`, a module here, and its line below.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from node.config.destination import Destination, DicomwebDestination, DimseDestination
from node.deliver import dicomweb, query, scu
from node.deliver.negotiation import Key
from node.deliver.objects import DicomFile, read_file
from node.deliver.wire import name_of
from node.domain import DeliveryState, Outcome
from node.errors import PermanentError


class Link(Protocol):
    """The way to one destination. Used by one thread."""

    def expect(self, keys: Iterable[Key]) -> None:
        """Prepare for such objects."""
        ...

    def store(self, file: DicomFile) -> Outcome:
        """Send one file and say what became of it.

        Raises
        ------
        Away
            If the destination takes nothing now; no object is at fault.
        TransientError
            If it may or may not have the object.
        """
        ...

    def close(self) -> None:
        """End it in good order; it may be used again."""
        ...


def open_link(destination: Destination, calling_ae_title: str) -> Link:
    """Prepare to send; nothing is connected before the first object."""
    if isinstance(destination, DicomwebDestination):
        return dicomweb.Link(destination)
    return scu.Link(destination, calling_ae_title)


def held(
    destination: Destination,
    calling_ae_title: str,
    study_instance_uid: str,
    series: Collection[str],
) -> set[str]:
    """Ask a destination which instances of these series it holds, by SOP Instance UID.

    Raises
    ------
    Away, TransientError
        If it does not answer now.
    PermanentError
        If it has no such service.
    """
    if isinstance(destination, DicomwebDestination):
        return dicomweb.held(destination, study_instance_uid, series)
    return query.held(destination, calling_ae_title, study_instance_uid, series)


def accepted(
    destination: Destination, calling_ae_title: str, sop_classes: Collection[str]
) -> set[str] | None:
    """Negotiate for SOP classes; those that are accepted, or None where nothing is negotiated.

    Raises
    ------
    TransientError
        If the destination cannot be reached, or rejects the association.
    """
    if isinstance(destination, DicomwebDestination):
        return None
    return scu.accepted(destination, calling_ae_title, sop_classes)


def verify(destination: Destination, calling_ae_title: str) -> None:
    """Check that a destination answers: C-ECHO, or a QIDO-RS request.

    Raises
    ------
    TransientError
        If it does not.
    """
    if isinstance(destination, DicomwebDestination):
        dicomweb.verify(destination)
    else:
        scu.echo(destination, calling_ae_title)


def address(destination: Destination) -> str:
    """How messages call a destination."""
    if isinstance(destination, DicomwebDestination):
        return destination.url
    return name_of(destination)


def send(
    paths: Sequence[Path],
    destination: Destination,
    calling_ae_title: str,
    report: Callable[[Path, Outcome], None],
) -> None:
    """Send files and report each one's outcome as soon as it is known.

    Raises
    ------
    TransientError
        If the destination cannot be reached or breaks off; the files that were not reported
        are still to be sent.
    """
    if isinstance(destination, DimseDestination):
        scu.send(paths, destination, calling_ae_title, report)
        return
    link = open_link(destination, calling_ae_title)
    try:
        for path in paths:
            try:
                outcome = link.store(read_file(path))
            except PermanentError as error:
                outcome = Outcome(DeliveryState.FAILED, None, str(error))
            report(path, outcome)
    finally:
        link.close()
