"""The association request and its answer; pynetdicom encodes and decodes both (PS3.8 9.3.2-4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_requestor

from node.deliver.wire import MAX_ANSWER_BYTES, frame
from node.dimse import APPLICATION_CONTEXT, ASSOCIATE_AC, ASSOCIATE_RJ
from node.dimse.user_information import user_information

Key: TypeAlias = tuple[str, str]
"""SOP class and transfer syntax of an object: what an association must be negotiated for."""

MAX_KEYS: Final = 42
"""Of one association: it can propose 128 contexts (PS3.8 Section 9.3.2.2), three for each key."""

NATIVE: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
CONVERTIBLE: Final = (*NATIVE, DeflatedExplicitVRLittleEndian)
"""They differ in how elements are written and not in the pixels, as big endian does."""


@dataclass(frozen=True)
class Agreement:
    """What was negotiated.

    Parameters
    ----------
    contexts
        SOP class and transfer syntax → context ID, of those the peer accepted.
    max_pdu_bytes
        Largest P-DATA-TF variable field the peer takes; 0: any.
    """

    contexts: dict[Key, int]
    max_pdu_bytes: int

    def syntaxes(self, sop_class_uid: str) -> set[str]:
        """The transfer syntaxes accepted for a SOP class."""
        return {syntax for sop_class, syntax in self.contexts if sop_class == sop_class_uid}


def proposals(keys: Iterable[Key]) -> list[PresentationContext]:
    """One context for an object as it is, and one for each encoding it can be brought into.

    Two contexts leave the choice to us: in a single one the peer chooses.
    """
    wanted: dict[Key, None] = {}
    for sop_class, syntax in keys:
        own = UID(syntax)
        # A private transfer syntax is none that pydicom could say this of.
        compressed = own.is_transfer_syntax and own.is_compressed and own not in CONVERTIBLE
        for each in NATIVE if own in CONVERTIBLE else (own, *(NATIVE if compressed else ())):
            wanted[sop_class, str(each)] = None
    contexts = []
    for number, (sop_class, syntax) in enumerate(wanted):
        context = build_context(sop_class, [syntax])
        context.context_id = 2 * number + 1
        contexts.append(context)
    return contexts


def request(contexts: Sequence[PresentationContext], calling: str, called: str) -> bytes:
    """Encode the A-ASSOCIATE-RQ."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = calling
    primitive.called_ae_title = called
    primitive.presentation_context_definition_list = list(contexts)
    primitive.user_information = user_information(MAX_ANSWER_BYTES)
    return A_ASSOCIATE_RQ(primitive).encode()


def agreement(contexts: Sequence[PresentationContext], body: bytes) -> Agreement:
    """Read the variable field of an A-ASSOCIATE-AC.

    A context that came back with a transfer syntax that was not proposed counts as rejected.

    Raises
    ------
    ValueError
        If it cannot be decoded.
    """
    answer: Any = _decoded(A_ASSOCIATE_AC(), ASSOCIATE_AC, body).to_primitive()
    answered = negotiate_as_requestor(
        list(contexts), answer.presentation_context_definition_results_list
    )
    proposed = {context.context_id: context for context in contexts}
    accepted = {
        (str(context.abstract_syntax), str(context.transfer_syntax[0])): context.context_id
        for context in answered
        if context.result == 0x00
        and context.transfer_syntax == proposed[context.context_id].transfer_syntax
    }
    return Agreement(
        {key: number for key, number in accepted.items() if number is not None},
        answer.maximum_length_received or 0,
    )


def rejection(body: bytes) -> str:
    """Read the variable field of an A-ASSOCIATE-RJ: who rejects, and why, in words.

    Raises
    ------
    ValueError
        If it cannot be decoded.
    """
    answer: Any = _decoded(A_ASSOCIATE_RJ(), ASSOCIATE_RJ, body)
    return f"{answer.result_str}: {answer.reason_str}".lower()


def _decoded(pdu: Any, kind: int, body: bytes) -> Any:
    try:
        pdu.decode(frame(kind, body))
    except Exception as error:  # pynetdicom raises anything on a damaged PDU
        raise ValueError(f"a PDU of type 0x{kind:02X} that cannot be decoded") from error
    return pdu
