"""Association requests: who asks for what, and what the node accepts (PS3.8 Section 9.3.2).

What a usual request asks for is read and answered here as pynetdicom would. Everything else
pynetdicom decodes, negotiates and answers, for which a long one takes it a tenth of a second.
An answer is remembered: senders that open an association for every image send the same request
again and again.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import (
    PresentationContext,
    build_context,
    negotiate_as_acceptor,
)

from node.dimse import APPLICATION_CONTEXT, ASSOCIATE_AC, ASSOCIATE_RQ, VERIFICATION
from node.dimse.commitment import PUSH_MODEL
from node.dimse.user_information import user_information
from node.errors import ProtocolError
from node.receive.admission import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    PROTOCOL_VERSION_NOT_SUPPORTED,
    Rejection,
)
from node.receive.pdu import INVALID_PARAMETER, PDU_HEADER
from node.receive.proposal import Proposal, encode_answer, read_proposal
from node.receive.sop_classes import RETIRED_STORAGE

FIXED_PART: Final = struct.Struct(">HH16s16s32s")
"""Protocol version, reserved, called and calling AE title, reserved."""
VARIABLE_ITEMS: Final = PDU_HEADER.size + FIXED_PART.size
COMMITMENT_TRANSFER_SYNTAXES: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
"""Of storage commitment's requests and reports, which are read and not only kept."""
_REMEMBERED: Final = 64
_LONGEST_REMEMBERED: Final = 32768
_PROTOCOL_VERSION_1: Final = 0x0001
_ACCEPTED: Final = 0
_NO_ABSTRACT_SYNTAX: Final = 3
_NO_TRANSFER_SYNTAX: Final = 4
"""Results of a presentation context (PS3.8 Table 9-18)."""


@dataclass(frozen=True)
class AssociateRequest:
    """The head of an A-ASSOCIATE-RQ, enough to decide whether its sender is welcome.

    Parameters
    ----------
    called_ae_title, calling_ae_title
        Without leading and trailing spaces.
    pdu
        The whole PDU.
    """

    protocol_version: int
    called_ae_title: str
    calling_ae_title: str
    pdu: bytes

    @property
    def is_version_1(self) -> bool:
        """Whether it speaks the one version of the protocol there is; other bits do not count."""
        return bool(self.protocol_version & _PROTOCOL_VERSION_1)


@dataclass(frozen=True)
class Context:
    """An accepted presentation context."""

    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True)
class Agreement:
    """What was negotiated.

    Parameters
    ----------
    contexts
        Accepted presentation contexts by ID.
    max_pdu_bytes
        Largest P-DATA-TF variable field the peer takes; 0: any.
    """

    contexts: Mapping[int, Context]
    max_pdu_bytes: int
    _variable_items: bytes

    def accept(self, request: AssociateRequest) -> bytes:
        """Encode the A-ASSOCIATE-AC; it repeats the AE titles of the request."""
        _, _, called, calling, reserved = FIXED_PART.unpack_from(request.pdu, PDU_HEADER.size)
        body = (
            FIXED_PART.pack(_PROTOCOL_VERSION_1, 0, called, calling, reserved)
            + self._variable_items
        )
        return PDU_HEADER.pack(ASSOCIATE_AC, len(body)) + body


def read_request(pdu: bytes) -> AssociateRequest:
    """Read the fixed part of an A-ASSOCIATE-RQ.

    Raises
    ------
    ProtocolError
        If it is another PDU, or too short to be one.
    """
    if len(pdu) < VARIABLE_ITEMS or pdu[0] != ASSOCIATE_RQ:
        raise ProtocolError(INVALID_PARAMETER, f"no A-ASSOCIATE-RQ: {len(pdu)} bytes")
    version, _, called, calling, _ = FIXED_PART.unpack_from(pdu, PDU_HEADER.size)
    return AssociateRequest(version, _ae_title(called), _ae_title(calling), pdu)


class Negotiator:
    """Answers association requests. Safe to use from many threads.

    Parameters
    ----------
    private_sop_classes
        Accepted besides the standard's storage SOP classes, the retired ones, and Verification.
    max_pdu_bytes
        Maximum length the node offers to receive.
    commitment
        Whether storage commitment is accepted, in both roles.
    """

    def __init__(
        self, private_sop_classes: Iterable[str], max_pdu_bytes: int, *, commitment: bool = False
    ) -> None:
        self._max_pdu_bytes = max_pdu_bytes
        storage = [cast(UID, c.abstract_syntax) for c in AllStoragePresentationContexts]
        self._supported = [
            build_context(sop_class_uid, ALL_TRANSFER_SYNTAXES)
            for sop_class_uid in (*storage, *RETIRED_STORAGE, *private_sop_classes)
        ] + [build_context(VERIFICATION)]
        if commitment:
            push_model = build_context(PUSH_MODEL, [*COMMITMENT_TRANSFER_SYNTAXES])
            push_model.scu_role = push_model.scp_role = True
            self._supported.append(push_model)
        self._transfer_syntaxes = {
            str(context.abstract_syntax): tuple(map(str, context.transfer_syntax or ()))
            for context in self._supported
        }
        items = self._encode([], [])[VARIABLE_ITEMS:]
        length_of_name = len(APPLICATION_CONTEXT) + struct.calcsize(">BxH")
        self._name, self._user_information = items[:length_of_name], items[length_of_name:]
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Agreement] = OrderedDict()

    def negotiate(self, request: AssociateRequest) -> Agreement | Rejection:
        """Decide on the presentation contexts of a request.

        Raises
        ------
        ProtocolError
            If the request cannot be decoded.
        """
        if not request.is_version_1:
            return Rejection(
                *PROTOCOL_VERSION_NOT_SUPPORTED,
                f"protocol version {request.protocol_version:#06x}; the node speaks version 1",
            )
        items = request.pdu[VARIABLE_ITEMS:]
        with self._lock:
            known = self._known.get(items)
            if known is not None:
                self._known.move_to_end(items)
                return known
        proposal = read_proposal(items)
        if proposal is None:
            agreement = self.negotiate_with_pynetdicom(request)
        else:
            agreement = self._agree(proposal)
        if isinstance(agreement, Agreement) and len(items) <= _LONGEST_REMEMBERED:
            with self._lock:
                self._known[items] = agreement
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return agreement

    def _agree(self, proposal: Proposal) -> Agreement:
        contexts = {}
        answers = []
        for context_id, (abstract, proposed, first) in sorted(proposal.contexts.items()):
            supported = self._transfer_syntaxes.get(abstract)
            chosen = next((one for one in supported or () if one in proposed), None)
            if chosen is not None:
                contexts[context_id] = Context(abstract, chosen)
                answers.append(encode_answer(context_id, _ACCEPTED, chosen))
            else:
                why = _NO_ABSTRACT_SYNTAX if supported is None else _NO_TRANSFER_SYNTAX
                answers.append(encode_answer(context_id, why, first))
        return Agreement(
            contexts,
            proposal.max_pdu_bytes,
            b"".join((self._name, *answers, self._user_information)),
        )

    def negotiate_with_pynetdicom(self, request: AssociateRequest) -> Agreement | Rejection:
        """Decide on the presentation contexts of any request.

        Raises
        ------
        ProtocolError
            If the request cannot be decoded.
        """
        primitive = _decode(request.pdu)
        if primitive.application_context_name != APPLICATION_CONTEXT:
            return Rejection(
                *APPLICATION_CONTEXT_NOT_SUPPORTED, "another application context than DICOM's"
            )
        results, roles = negotiate_as_acceptor(
            primitive.presentation_context_definition_list, self._supported, _roles(primitive)
        )
        contexts = {
            cast(int, c.context_id): Context(str(c.abstract_syntax), str(c.transfer_syntax[0]))
            for c in results
            if c.result == 0
        }
        return Agreement(
            contexts,
            primitive.maximum_length_received or 0,
            self._encode(results, roles)[VARIABLE_ITEMS:],
        )

    def _encode(self, results: list[PresentationContext], roles: list[Any]) -> bytes:
        primitive = A_ASSOCIATE()
        primitive.application_context_name = APPLICATION_CONTEXT
        primitive.calling_ae_title = "CALLING"
        primitive.called_ae_title = "CALLED"
        primitive.result = 0x00
        primitive.result_source = 0x01
        primitive.presentation_context_definition_results_list = results
        primitive.user_information = [*user_information(self._max_pdu_bytes), *roles]
        accept = A_ASSOCIATE_AC()
        accept.from_primitive(primitive)
        return accept.encode()


def _decode(pdu: bytes) -> A_ASSOCIATE:
    request = A_ASSOCIATE_RQ()
    try:
        request.decode(pdu)
        primitive = request.to_primitive()
    except Exception as error:  # pynetdicom raises whatever its parser meets
        raise ProtocolError(
            INVALID_PARAMETER, f"the A-ASSOCIATE-RQ cannot be decoded: {type(error).__name__}"
        ) from error
    contexts = primitive.presentation_context_definition_list
    if not contexts:
        raise ProtocolError(INVALID_PARAMETER, "an A-ASSOCIATE-RQ without presentation contexts")
    if not all(context.abstract_syntax for context in contexts):
        raise ProtocolError(INVALID_PARAMETER, "a presentation context without abstract syntax")
    return primitive


def _roles(primitive: A_ASSOCIATE) -> dict[UID, tuple[bool | None, bool | None]]:
    """The roles that the caller proposes (PS3.7 Section D.3.3.4), by SOP class."""
    return {
        cast(UID, item.sop_class_uid): (bool(item.scu_role), bool(item.scp_role))
        for item in primitive.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
    }


def _ae_title(field: bytes) -> str:
    return field.decode("latin-1").strip(" \0")
