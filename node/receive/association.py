"""One association: negotiated, served by a thread of its own, released or aborted.

The thread sleeps in the kernel while the peer is silent. Data sets go from the socket's
buffer to the disk without a copy in between.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Final

import structlog

from node.config.model import Peer
from node.dimse import (
    ABORT,
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    N_EVENT_REPORT_RQ,
    RELEASE_RQ,
    RESPONSE,
    VERIFICATION,
)
from node.dimse.commitment import PUSH_MODEL
from node.errors import ProtocolError
from node.receive.admission import (
    LOCAL_LIMIT_EXCEEDED,
    Rejection,
)
from node.receive.buffers import NO_BUFFER, SMALL
from node.receive.commands import Command, encode_response, parse_command
from node.receive.commitment import CommitmentOperation, is_commitment
from node.receive.front import LINGER_S, Caller
from node.receive.message import Message, Operation
from node.receive.negotiation import Agreement, Context
from node.receive.pdu import (
    INVALID_PARAMETER,
    UNEXPECTED_PDU,
    Control,
    Fragment,
    PduReader,
    abort,
    data_transfer,
    message_pdus,
    reject,
    release_response,
)
from node.receive.reception import Reception
from node.receive.status import Status
from node.receive.store_request import StoreRequest
from node.receive.storing import StoreOperation
from node.receive.stream import Stream

log = structlog.get_logger(__name__)

SMALLEST_READ: Final = 4096
"""Bytes: with less room than that the memory is emptied before more is read."""
MOST_UNWRITTEN: Final = 256
"""Fragments that wait to be written: tiny ones take more memory than their bytes."""
_ABORT_BY_USER: Final = 0
_ABORT_BY_PROVIDER: Final = 2
_NOT_SPECIFIED: Final = 0
_MESSAGE_ID: Final = 1
"""Of the one request that the node may make on an association it has not opened."""


class _Lost(Exception):  # noqa: N818 - says what happened to the connection
    """The association cannot go on; the message says why."""


class Association:
    """Serves one caller; `start` returns at once.

    Parameters
    ----------
    ended
        Called with the association when its connection is closed.
    """

    def __init__(
        self, reception: Reception, caller: Caller, ended: Callable[[Association], None]
    ) -> None:
        self._reception = reception
        self._stream = Stream(caller.connection)
        self._caller = caller
        self._ended = ended
        self._timeout_s = reception.receive.network_timeout_s
        self._most_bytes = 2 * reception.receive.max_object_bytes
        self._stopping = False
        self._agreement: Agreement
        self._buffer = NO_BUFFER
        self._message = Message(self._buffer)
        self._reader = PduReader(reception.receive.max_pdu_bytes)
        self._intake = reception.keeping.open()
        self._stored = 0
        self._untold: CommitmentOperation | None = None
        self._thread = Thread(target=self._run, name="association", daemon=True)

    def start(self) -> None:
        """Serve the caller in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Abort as soon as no message is under way; returns at once."""
        self._stopping = True
        if self._message.command is None:
            self._stream.shut(socket.SHUT_RD)

    def kill(self) -> None:
        """Break the connection, whatever is under way, and wait for the thread."""
        self._stream.shut(socket.SHUT_RDWR)
        self._thread.join()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread, but no longer than a time."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._stream.wait_at_most(self._timeout_s)
            peer = self._admit()
            if peer is not None:
                try:
                    self._establish_and_serve()
                finally:
                    self._reception.occupancy.leave(peer)
        except OSError as error:
            self._log_aborted(f"connection lost: {type(error).__name__}")
        except Exception:  # one association must not take the others with it
            log.exception("association.failed", calling_ae_title=self._calling_ae_title)
            self._send_last(abort(_ABORT_BY_USER, _NOT_SPECIFIED))
        finally:
            self._message.discard()
            self._intake.close()
            self._reception.buffers.give_back(self._buffer)
            self._stream.close()
            self._ended(self)

    def _admit(self) -> Peer | None:
        """Find out who calls and count it in, or reject it."""
        request = self._caller.request
        peer = self._reception.admission.admit(
            request.calling_ae_title, self._caller.address, self._caller.certificate_names
        )
        if isinstance(peer, Rejection):
            if self._reception.strangers.answer(self._caller.address):
                self._reject(peer)
            return None
        if limit := self._reception.occupancy.enter(peer):
            self._reject(Rejection(*LOCAL_LIMIT_EXCEEDED, limit))
            return None
        return peer

    def _establish_and_serve(self) -> None:
        try:
            agreement = self._reception.negotiator.negotiate(self._caller.request)
            if isinstance(agreement, Rejection):
                self._reject(agreement)
                return
            self._agreement = agreement
            self._stream.send(agreement.accept(self._caller.request))
            self._serve()
        except ProtocolError as error:
            self._log_aborted(str(error))
            self._send_last(abort(_ABORT_BY_PROVIDER, error.reason))
        except _Lost as lost:
            self._log_aborted(str(lost))
            self._send_last(abort(_ABORT_BY_USER, _NOT_SPECIFIED))

    def _serve(self) -> None:
        """Read the stream until the association ends."""
        buffer = self._buffer = self._take_buffer()
        self._message = Message(buffer)
        nearly_full = len(buffer) - SMALLEST_READ
        deadline = self._reception.monotonic() + self._timeout_s
        filled = 0
        while True:
            if self._stopping and self._message.command is None:
                raise _Lost("the node stops")
            count = self._receive(buffer[filled:], deadline)
            progress = self._reader.progress
            for event in self._reader.feed(buffer, filled, filled + count):
                if isinstance(event, Fragment):
                    self._take(event)
                elif self._ends(event):
                    return
            filled += count
            message = self._message
            if (
                not 0 < message.unwritten < MOST_UNWRITTEN
                or filled >= nearly_full
                or filled >= message.takes_bytes
            ):
                message.flush()
                filled = 0
            if not self._reader.is_between_pdus or self._message.command is not None:
                self._stream.acknowledge()
            if self._reader.progress != progress:
                deadline = self._reception.monotonic() + self._timeout_s

    def _take_buffer(self) -> memoryview:
        """Room to read into, a large one only where images may come."""
        asked_for = {context.sop_class_uid for context in self._agreement.contexts.values()}
        return self._reception.buffers.take(large=not asked_for <= {VERIFICATION, PUSH_MODEL})

    def _receive(self, buffer: memoryview, deadline: float) -> int:
        """Read once into the buffer; return how many bytes came.

        Raises
        ------
        _Lost
            If nothing came in time, or the peer has closed the connection.
        """
        now = self._reception.monotonic()
        if self._message.command is not None:
            deadline = min(deadline, self._message.deadline(self._timeout_s))
        if now >= deadline:
            raise _Lost(self._why_late())
        self._stream.wait_at_most(deadline - now)
        try:
            count = self._stream.receive_into(buffer)
        except TimeoutError:
            raise _Lost(self._why_late()) from None
        if not count:
            raise _Lost("the node stops" if self._stopping else "the peer closed the connection")
        return count

    def _why_late(self) -> str:
        if self._reader.is_between_pdus and self._message.command is None:
            return f"no traffic for {self._timeout_s:g} s"
        return (
            f"a PDU or message unfinished after {self._timeout_s:g} s: "
            f"{self._message.received} bytes of the data set have come"
        )

    def _ends(self, control: Control) -> bool:
        """Answer a release or an abort; True: the association is over.

        Raises
        ------
        ProtocolError
            If nothing was asked that this could be the answer to.
        """
        if control.pdu_type == RELEASE_RQ:
            self._send_last(release_response())
            log.debug(
                "association.released",
                calling_ae_title=self._calling_ae_title,
                instances=self._stored,
            )
        elif control.pdu_type == ABORT:
            self._log_aborted("the peer aborted")
        else:
            raise ProtocolError(UNEXPECTED_PDU, "an A-RELEASE-RP that nobody asked for")
        return True

    def _take(self, fragment: Fragment) -> None:
        """Take one fragment of a command set or data set."""
        context = self._agreement.contexts.get(fragment.context_id)
        if context is None:
            raise ProtocolError(
                INVALID_PARAMETER,
                f"presentation context {fragment.context_id} was not accepted",
            )
        message = self._message
        if fragment.is_command:
            message.add_command(fragment)
            if fragment.is_last:
                self._begin(fragment.context_id, context)
        else:
            message.add_data(fragment)
            if message.received > self._most_bytes:
                raise ProtocolError(
                    _NOT_SPECIFIED, f"a data set of more than {self._most_bytes} bytes"
                )
        if message.command is not None and (
            not message.command.has_data_set or (fragment.is_last and not fragment.is_command)
        ):
            self._finish()

    def _begin(self, context_id: int, context: Context) -> None:
        """Look at a whole command set; a C-STORE gets a place for its data set."""
        command = parse_command(bytes(self._message.command_set))
        operation: Operation | None = None
        if command.has_data_set and command.sop_class_uid == context.sop_class_uid:
            operation = self._operation(command, context)
        self._message.begin(context_id, command, operation, self._reception.monotonic())

    def _operation(self, command: Command, context: Context) -> Operation | None:
        """What takes the data set of a request; None where it is not wanted."""
        service = self._reception.commitment
        syntax, peer = context.transfer_syntax_uid, self._calling_ae_title
        if service is not None and is_commitment(command.field, command.sop_class_uid):
            return CommitmentOperation(service, command, syntax, peer)
        if command.field != C_STORE_RQ:
            return None
        return StoreOperation(
            self._intake,
            StoreRequest(command.sop_class_uid, command.sop_instance_uid, syntax, peer),
        )

    def _finish(self) -> None:
        """Answer the message that has arrived completely."""
        message = self._message
        try:
            response = self._respond(message)
            if response is not None:
                self._stream.wait_at_most(self._timeout_s)
                self._stream.send(data_transfer(message.context_id, True, response))
        finally:
            if message.operation is not None:
                message.operation.answered()
        if isinstance(message.operation, CommitmentOperation):
            self._follow_up(message.context_id, message.operation)
        self._message = Message(self._buffer)

    def _follow_up(self, context_id: int, operation: CommitmentOperation) -> None:
        """Report on a storage commitment at once, to a peer that the node cannot call back."""
        longest = self._agreement.max_pdu_bytes
        with operation.follow_up(_MESSAGE_ID) as told:
            if told is None:
                return
            self._untold = operation
            for pdu in message_pdus(context_id, told.command_set, told.data_set, longest):
                self._stream.send(pdu)

    def _respond(self, message: Message) -> bytes | None:
        command = message.command
        assert command is not None  # noqa: S101 - for the type checker
        if message.operation is not None:
            status, comment = message.finish()
            self._stored += status == 0 and command.field == C_STORE_RQ
            return encode_response(command, status, comment)
        if command.field == C_ECHO_RQ:
            log.info("echo.answered", calling_ae_title=self._calling_ae_title)
            return encode_response(command, Status.SUCCESS)
        if command.field == N_EVENT_REPORT_RQ | RESPONSE and self._untold is not None:
            if command.status == Status.SUCCESS:
                self._untold.told()
            self._untold = None
        if command.field & RESPONSE or command.field == C_CANCEL_RQ:
            return None
        if command.field != C_STORE_RQ:
            return encode_response(
                command, Status.UNRECOGNIZED_OPERATION, "not a service of this node"
            )
        if not command.has_data_set:
            return encode_response(command, Status.NO_DATA_SET, "a C-STORE-RQ without a data set")
        return encode_response(
            command,
            Status.SOP_CLASS_NOT_SUPPORTED,
            "another SOP class than the presentation context's",
        )

    def _reject(self, rejection: Rejection) -> None:
        log.warning(
            "association.rejected",
            calling_ae_title=self._calling_ae_title,
            address=self._caller.address,
            reason=rejection.reason,
        )
        self._send_last(reject(rejection.result, rejection.source, rejection.diagnostic))

    def _send_last(self, pdu: bytes) -> None:
        """Send a PDU after which nothing is expected, and let the peer hang up."""
        monotonic = self._reception.monotonic
        with suppress(OSError):
            self._stream.wait_at_most(LINGER_S)
            self._stream.send(pdu)
            self._stream.shut(socket.SHUT_WR)
            # What is unread at the close would make the kernel destroy the answer.
            until = monotonic() + LINGER_S
            unread = memoryview(bytearray(SMALL))
            while (left := until - monotonic()) > 0:
                self._stream.wait_at_most(left)
                if not self._stream.receive_into(unread):
                    break

    def _log_aborted(self, reason: str) -> None:
        log.warning(
            "association.aborted",
            calling_ae_title=self._calling_ae_title,
            address=self._caller.address,
            reason=reason,
            instances=self._stored,
        )

    @property
    def _calling_ae_title(self) -> str:
        return self._caller.request.calling_ae_title
