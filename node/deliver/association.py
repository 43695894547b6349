"""One association to a destination, as its requestor (PS3.8 Section 7, PS3.4 Annex B).

pynetdicom encodes and decodes the negotiation. The objects go their own way: the bytes of
the file, in PDUs of the length the peer takes, straight to the socket.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pynetdicom.presentation import PresentationContext

from node.config.destination import DimseDestination
from node.deliver import commands
from node.deliver.negotiation import Agreement, Key, agreement, proposals, rejection, request
from node.deliver.objects import DicomFile, data_set
from node.deliver.wire import MAX_ANSWER_BYTES, Wire, connect, frame
from node.dimse import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    C_ECHO_RQ,
    C_STORE_RQ,
    IS_COMMAND,
    IS_LAST,
    P_DATA_TF,
    RELEASE_RP,
    RELEASE_RQ,
    VERIFICATION,
)
from node.errors import Away, TransientError

RELEASE_WITHIN_S: Final = 2.0
"""A peer that does not agree to the end in time does not keep the next delivery waiting."""

_LAST_MESSAGE_ID: Final = 65535


class Association:
    """An established association. Not thread-safe.

    Every error that a method raises has ended the association; `release` and `abort` may
    be called at any time, also then.

    Parameters
    ----------
    proposed
        The keys it was negotiated for, accepted or not.
    """

    def __init__(self, wire: Wire, proposed: Sequence[Key], agreed: Agreement) -> None:
        self._wire = wire
        self._proposed = frozenset(proposed)
        self._agreed = agreed
        self._fragment_bytes = commands.fragment_bytes(agreed.max_pdu_bytes)
        self._message_id = 0
        self._open = True

    def covers(self, key: Key) -> bool:
        """Whether it was negotiated for such objects."""
        return key in self._proposed

    def accepts(self, sop_class_uid: str) -> bool:
        """Whether the peer has accepted a SOP class, in any transfer syntax."""
        return bool(self._agreed.syntaxes(sop_class_uid))

    def has_ended(self) -> bool:
        """Whether the peer has ended it since the last answer; this closes it then."""
        if self._open and self._wire.has_news():
            # Nobody speaks unasked but to end the association.
            with suppress(TransientError, ValueError):
                self._read_pdu(self._wire.deadline())
            self.abort()
        return not self._open

    def store(self, file: DicomFile) -> int:
        """C-STORE one file and return the status of the answer.

        Raises
        ------
        PermanentError
            If the destination does not accept such objects; nothing was sent, and the
            association goes on.
        TransientError
            If the association breaks, or there is no whole answer in time.
        """
        with data_set(file, self._agreed) as (context_id, stream, size):
            command = commands.store_request(
                self._next_message_id(), file.sop_class_uid, file.sop_instance_uid
            )
            first: list[bytes | memoryview] = [
                *commands.command_pdus(context_id, command, self._fragment_bytes)
            ]
            try:
                blocks = commands.data_set_blocks(context_id, stream, size, self._fragment_bytes)
                for block in blocks:
                    self._wire.send(first + block)
                    first = []
                return self._answer(C_STORE_RQ)
            except BaseException:  # an association in mid-message can only be aborted
                self.abort()
                raise

    def echo(self) -> int:
        """C-ECHO, and return the status of the answer.

        Raises
        ------
        TransientError
            If the peer does not accept the Verification SOP class, or as `store`.
        """
        context_id = next(
            (
                number
                for (sop_class, _), number in self._agreed.contexts.items()
                if sop_class == VERIFICATION
            ),
            None,
        )
        if context_id is None:
            raise TransientError(f"{self._wire.name} does not accept the C-ECHO")
        command = commands.echo_request(self._next_message_id(), VERIFICATION)
        try:
            self._wire.send(commands.command_pdus(context_id, command, self._fragment_bytes))
            return self._answer(C_ECHO_RQ)
        except BaseException:  # as in `store`
            self.abort()
            raise

    def release(self) -> None:
        """End it in good order, and wait for the peer to agree."""
        if not self._open:
            return
        try:
            self._wire.send([frame(RELEASE_RQ, bytes(4))])
            deadline = min(self._wire.deadline(), time.monotonic() + RELEASE_WITHIN_S)
            kind = RELEASE_RQ
            while kind == RELEASE_RQ:  # both may ask at the same time (PS3.8 Section 7.2.3)
                kind, _ = self._wire.receive(deadline)
                if kind == RELEASE_RQ:
                    self._wire.send([frame(RELEASE_RP, bytes(4))])
        except TransientError:
            pass  # what was stored is stored
        self._close()

    def abort(self) -> None:
        """End it now, and tell the peer if it still listens."""
        if not self._open:
            return
        self._wire.timeout_s = 0.1
        with suppress(TransientError):
            self._wire.send([frame(ABORT, bytes(4))])
        self._close()

    def _close(self) -> None:
        self._open = False
        self._wire.close()

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % _LAST_MESSAGE_ID + 1
        return self._message_id

    def _answer(self, command_field: int) -> int:
        """Wait for the response to the last request; all of it must come within one timeout."""
        try:
            command_set = self._read_command_set(self._wire.deadline())
            return commands.status_of(command_set, command_field, self._message_id)
        except ValueError as error:
            raise TransientError(f"{self._wire.name} sent {error}") from error

    def _read_command_set(self, deadline: float) -> bytes:
        command_set = bytearray()
        while len(command_set) <= MAX_ANSWER_BYTES:
            kind, body = self._read_pdu(deadline)
            if kind != P_DATA_TF:
                raise ValueError(f"a PDU of type 0x{kind:02X} instead of a response")
            for control, fragment in commands.fragments(body):
                if not control & IS_COMMAND:
                    raise ValueError("a data set with the response")
                command_set += fragment
                if control & IS_LAST:
                    return bytes(command_set)
        raise ValueError(f"a command set of more than {MAX_ANSWER_BYTES} bytes")

    def _read_pdu(self, deadline: float) -> tuple[int, bytes]:
        kind, body = self._wire.receive(deadline)
        if kind == ABORT:
            self._close()
            raise TransientError(f"{self._wire.name} aborted the association")
        if kind == RELEASE_RQ:
            with suppress(TransientError):
                self._wire.send([frame(RELEASE_RP, bytes(4))])
            self._close()
            raise TransientError(f"{self._wire.name} released the association")
        return kind, body


def associate(
    destination: DimseDestination, calling_ae_title: str, keys: Sequence[Key]
) -> Association:
    """Open an association for objects of these keys.

    That the peer accepts none of them is no error here: `Association.store` says which.

    Parameters
    ----------
    calling_ae_title
        Of the node, where the destination has none of its own configured.

    Raises
    ------
    Away
        If the destination cannot be reached, rejects the association, or does not answer
        the request as a DICOM peer does.
    """
    calling = destination.calling_ae_title or calling_ae_title
    contexts = proposals(keys)
    wire = connect(destination)
    try:
        wire.send([request(contexts, calling, destination.ae_title)])
        kind, body = wire.receive(wire.deadline())
        return Association(wire, keys, _accepted(wire.name, calling, contexts, kind, body))
    except ValueError as error:
        wire.close()
        raise Away(f"{wire.name} answered the association request with {error}") from error
    except TransientError as error:
        wire.close()
        raise error if isinstance(error, Away) else Away(str(error)) from error
    except BaseException:  # whatever it was: the connection has no owner yet
        wire.close()
        raise


def _accepted(
    name: str, calling: str, contexts: Sequence[PresentationContext], kind: int, body: bytes
) -> Agreement:
    if kind == ASSOCIATE_RJ:
        raise Away(
            f"{name} rejected the association ({rejection(body)}); does it know calling AE title "
            f"{calling!r}?"
        )
    if kind == ABORT:
        raise Away(f"{name} aborted the association request")
    if kind != ASSOCIATE_AC:
        raise ValueError(f"a PDU of type 0x{kind:02X}")
    return agreement(contexts, body)
