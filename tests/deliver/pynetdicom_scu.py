"""The reference: the same C-STORE and C-ECHO, every byte of it through pynetdicom.

What the node's own sender must do as well, only slower; see `test_contract`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from node.config.destination import DimseDestination
from node.deliver.answer import judge
from node.dimse import VERIFICATION
from node.domain import DeliveryState, Outcome
from node.errors import PermanentError, TransientError
from tests.builders.network import keep_answers

MAX_SOP_CLASSES = 64
"""Of one association: it can propose 128 contexts (PS3.8 Section 9.3.2.2), two for each."""

_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_CONVERTIBLE = (*_NATIVE, DeflatedExplicitVRLittleEndian)
"""They differ in how elements are written and not in the pixels, as big endian does."""


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
    for batch, keys in _batches(paths):
        contexts = [context for key in keys for context in _proposals(*key)]
        association = _associate(destination, calling_ae_title, contexts)
        keep_answers(association)
        try:
            for path in batch:
                report(path, _store(association, path, destination))
        finally:
            if association.is_established:
                association.release()


def echo(destination: DimseDestination, calling_ae_title: str) -> None:
    """Verify that the destination answers a C-ECHO.

    Raises
    ------
    TransientError
        If it cannot be reached, rejects the association, or does not answer.
    """
    association = _associate(destination, calling_ae_title, [build_context(VERIFICATION)])
    try:
        status = association.send_c_echo()
    finally:
        if association.is_established:
            association.release()
    if status.get("Status") != 0x0000:
        raise TransientError(f"{_name(destination)} did not answer the C-ECHO")


def _associate(
    destination: DimseDestination, calling_ae_title: str, contexts: list[PresentationContext]
) -> Association:
    ae = AE(destination.calling_ae_title or calling_ae_title)
    ae.connection_timeout = destination.timeout_s
    ae.acse_timeout = destination.timeout_s
    ae.dimse_timeout = destination.timeout_s
    ae.network_timeout = destination.timeout_s
    association = ae.associate(
        destination.host,
        destination.port,
        contexts=contexts,
        ae_title=destination.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, _without_nagle)],
    )
    if association.is_established:
        return association
    if association.is_rejected:
        raise TransientError(
            f"{_name(destination)} rejected the association; does it know calling AE title "
            f"{ae.ae_title!r}?"
        )
    if contexts and association.rejected_contexts and not association.accepted_contexts:
        return association
    raise TransientError(f"{_name(destination)} cannot be reached, or broke the association off")


def _store(association: Association, path: Path, destination: DimseDestination) -> Outcome:
    try:
        ds = dcmread(path)
        prepared = _in_accepted_syntax(ds, association)
    except PermanentError as error:
        return Outcome(DeliveryState.FAILED, None, str(error))
    if not association.is_established:
        raise TransientError(f"{_name(destination)} broke the association off")
    response = association.send_c_store(prepared)
    if "Status" not in response:
        raise TransientError(
            f"{_name(destination)} did not answer a C-STORE within {destination.timeout_s:g} s"
        )
    return judge(int(response.Status))


def _in_accepted_syntax(ds: Dataset, association: Association) -> Dataset:
    """Bring an object into the transfer syntax the peer accepted for its SOP class."""
    accepted = {
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == ds.SOPClassUID
    }
    own = ds.file_meta.TransferSyntaxUID
    if str(own) in accepted:
        return ds
    if not accepted:
        raise PermanentError(
            f"the destination does not accept SOP class {UID(ds.SOPClassUID).name} "
            f"({ds.SOPClassUID})"
        )
    if own not in _CONVERTIBLE:
        raise PermanentError(
            f"the destination does not accept {own.name} for {UID(ds.SOPClassUID).name}"
        )
    # A data set that was read remembers its encoding; a new one takes that of the file meta.
    converted = Dataset()
    converted.update(ds)
    converted.file_meta = ds.file_meta
    converted.file_meta.TransferSyntaxUID = next(ts for ts in _NATIVE if str(ts) in accepted)
    return converted


def _key(path: Path) -> tuple[str, str]:
    ds = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    return str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID)


def _proposals(sop_class_uid: str, transfer_syntax_uid: str) -> list[PresentationContext]:
    """One context for an object that goes as it is, or one for each native encoding.

    Two contexts leave the choice to us: in a single one the peer chooses.
    """
    uid = UID(transfer_syntax_uid)
    syntaxes = _NATIVE if uid in _CONVERTIBLE else (uid,)
    return [build_context(sop_class_uid, [syntax]) for syntax in syntaxes]


def _batches(paths: Sequence[Path]) -> list[tuple[list[Path], list[tuple[str, str]]]]:
    """Files that fit one association, with their SOP classes and transfer syntaxes, each once."""
    batches: list[tuple[list[Path], list[tuple[str, str]]]] = []
    for path in paths:
        key = _key(path)
        if not batches or (key not in batches[-1][1] and len(batches[-1][1]) == MAX_SOP_CLASSES):
            batches.append(([], []))
        batch, keys = batches[-1]
        batch.append(path)
        if key not in keys:
            keys.append(key)
    return batches


def _name(destination: DimseDestination) -> str:
    return f"{destination.ae_title} at {destination.host}:{destination.port}"


def _without_nagle(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
