"""C-STORE and C-ECHO to a destination."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.config.destination import DimseDestination
from node.deliver.answer import judge
from node.deliver.association import Association, associate
from node.deliver.negotiation import MAX_KEYS, Key
from node.deliver.objects import DicomFile, read_file
from node.deliver.wire import name_of
from node.dimse import VERIFICATION
from node.domain import DeliveryState, Outcome
from node.errors import NotAccepted, PermanentError, TransientError


class Link:
    """The way to one destination: an association that is opened when there is need of one.

    It is used again for as long as the peer keeps it open and it was negotiated for what
    comes. Not thread-safe.

    Parameters
    ----------
    calling_ae_title
        Of the node, where the destination has none of its own configured.
    """

    def __init__(self, destination: DimseDestination, calling_ae_title: str) -> None:
        self._destination = destination
        self._calling_ae_title = calling_ae_title
        self._association: Association | None = None
        self._keys: dict[Key, None] = {}

    def expect(self, keys: Iterable[Key]) -> None:
        """Propose these with the next association, beside those that came last."""
        for key in keys:
            self._keys.pop(key, None)
            self._keys[key] = None
        for key in list(self._keys)[:-MAX_KEYS]:
            del self._keys[key]

    def store(self, file: DicomFile) -> Outcome:
        """Send one file and say what became of it.

        An object that the destination cannot take at all is an outcome, too.

        Raises
        ------
        Away
            If there is no association to be had; nothing of the file was sent.
        TransientError
            If the association breaks, or there is no whole answer in time. The peer may or
            may not have the object.
        """
        try:
            return judge(self._open(file.key).store(file))
        except PermanentError as error:
            not_taken = isinstance(error, NotAccepted)
            return Outcome(DeliveryState.FAILED, None, str(error), not_taken)

    def close(self) -> None:
        """Release the association, if there is one."""
        if self._association is not None:
            self._association.release()
            self._association = None

    def _open(self, key: Key) -> Association:
        association = self._association
        if association is not None and not association.has_ended() and association.covers(key):
            return association
        self.close()
        self.expect([key])
        self._association = associate(self._destination, self._calling_ae_title, list(self._keys))
        return self._association


def send(
    paths: Sequence[Path],
    destination: DimseDestination,
    calling_ae_title: str,
    report: Callable[[Path, Outcome], None],
) -> None:
    """Send files over as few associations as possible and report each one's outcome.

    Parameters
    ----------
    report
        Called once for each path as soon as the destination has answered, so that what
        was delivered before a failure is known to be delivered.

    Raises
    ------
    TransientError
        If the destination cannot be reached or the association breaks; the files that were
        not reported are still to be sent.
    """
    files: list[DicomFile] = []
    for path in paths:
        try:
            files.append(read_file(path))
        except PermanentError as error:
            report(path, Outcome(DeliveryState.FAILED, None, str(error)))
    for batch, keys in _batches(files):
        link = Link(destination, calling_ae_title)
        link.expect(keys)
        try:
            for file in batch:
                report(file.path, link.store(file))
        finally:
            link.close()


def accepted(
    destination: DimseDestination, calling_ae_title: str, sop_classes: Collection[str]
) -> set[str]:
    """Negotiate an association for SOP classes, and say which of them are accepted.

    Raises
    ------
    Away
        If there is no association to be had.
    """
    keys = [(uid, str(ExplicitVRLittleEndian)) for uid in sorted(sop_classes)]
    association = associate(destination, calling_ae_title, keys)
    try:
        return {uid for uid in sop_classes if association.accepts(uid)}
    finally:
        association.release()


def echo(destination: DimseDestination, calling_ae_title: str) -> None:
    """Verify that the destination answers a C-ECHO.

    Raises
    ------
    TransientError
        If it cannot be reached, rejects the association, or does not answer.
    """
    key = (str(VERIFICATION), str(ImplicitVRLittleEndian))
    association = associate(destination, calling_ae_title, [key])
    try:
        status = association.echo()
    finally:
        association.release()
    if status != 0x0000:
        raise TransientError(
            f"{name_of(destination)} answered the C-ECHO with 0x{status:04X} instead of 0x0000"
        )


def _batches(files: Sequence[DicomFile]) -> list[tuple[list[DicomFile], list[Key]]]:
    """Files that fit one association, with their SOP classes and transfer syntaxes, each once."""
    batches: list[tuple[list[DicomFile], list[Key]]] = []
    for file in files:
        full = bool(batches) and file.key not in batches[-1][1] and len(batches[-1][1]) == MAX_KEYS
        if full or not batches:
            batches.append(([], []))
        batch, keys = batches[-1]
        batch.append(file)
        if file.key not in keys:
            keys.append(file.key)
    return batches
