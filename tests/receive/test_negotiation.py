"""The quick negotiation answers as pynetdicom does, or leaves the request to it."""

from __future__ import annotations

import pytest
from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context

from node.dimse.commitment import PUSH_MODEL
from node.receive.negotiation import VARIABLE_ITEMS, Negotiator, read_request
from node.receive.proposal import read_proposal

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
EVERYTHING = [
    (str(c.abstract_syntax), syntaxes)
    for c in AllStoragePresentationContexts[:64]
    for syntaxes in ([EXPLICIT, "1.2.840.10008.1.2.2", IMPLICIT], [ALL_TRANSFER_SYNTAXES[9]])
]


def request(proposed, *, more=(), version=True):
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "CT1", "WETREAD"
    contexts = []
    for number, (abstract, transfer) in enumerate(proposed):
        contexts.append(build_context(abstract, transfer))
        contexts[-1].context_id = 2 * number + 1
    primitive.presentation_context_definition_list = contexts
    length = MaximumLengthNotification()
    length.maximum_length_received = 16384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.276.0.7230010.3.0.3.6.7")
    name = ImplementationVersionNameNotification()
    name.implementation_version_name = "OFFIS_DCMTK_367"
    primitive.user_information = [length, implementation, *([name] if version else []), *more]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return read_request(pdu.encode())


def roles():
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = UID(CT), True, False
    return role


def window():
    asked = AsynchronousOperationsWindowNegotiation()
    asked.maximum_number_operations_invoked = 2
    asked.maximum_number_operations_performed = 2
    return asked


USUAL = {
    "one context": request([(CT, [EXPLICIT])]),
    "no version name": request([(CT, [EXPLICIT])], version=False),
    "several transfer syntaxes": request([(CT, [IMPLICIT, EXPLICIT, ALL_TRANSFER_SYNTAXES[5]])]),
    "Verification": request([("1.2.840.10008.1.1", [EXPLICIT, IMPLICIT])]),
    "an unknown SOP class": request([("1.2.3.4", [EXPLICIT]), (CT, [EXPLICIT])]),
    "an unknown transfer syntax": request([(CT, ["1.2.3.4.5"]), (CT, ["1.2.3.4.5", IMPLICIT])]),
    "Verification, compressed": request([("1.2.840.10008.1.1", ["1.2.840.10008.1.2.4.70"])]),
    "everything": request(EVERYTHING),
    "storage commitment": request([(PUSH_MODEL, [IMPLICIT, EXPLICIT])]),
    "a private SOP class": request([("1.2.250.1.59.1", [IMPLICIT])]),
}
UNUSUAL = {
    "role selection": request([(CT, [EXPLICIT])], more=[roles()]),
    "asynchronous operations": request([(CT, [EXPLICIT])], more=[window()]),
}


@pytest.fixture
def negotiator():
    return Negotiator(["1.2.250.1.59.1"], 262144, commitment=True)


@pytest.mark.parametrize("asked", USUAL.values(), ids=USUAL)
def test_a_usual_request_is_answered_byte_for_byte_as_pynetdicom_would(negotiator, asked):
    assert read_proposal(asked.pdu[VARIABLE_ITEMS:]) is not None
    expected = negotiator.negotiate_with_pynetdicom(asked)
    found = negotiator.negotiate(asked)
    assert found == expected
    assert found.accept(asked) == expected.accept(asked)


@pytest.mark.parametrize("asked", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_pynetdicom(negotiator, asked):
    assert read_proposal(asked.pdu[VARIABLE_ITEMS:]) is None
    assert negotiator.negotiate(asked).accept(asked)


def test_a_request_that_is_cut_off_or_changed_anywhere_is_never_read_otherwise(negotiator):
    asked = USUAL["one context"]
    items = asked.pdu[VARIABLE_ITEMS:]
    changed = [items[:at] for at in range(len(items))]
    changed += [
        items[:at] + bytes([value]) + items[at + 1 :]
        for at in range(len(items))
        for value in (0, 0x31, 0xFF)
    ]
    read = 0
    for one in changed:
        if read_proposal(one) is None:
            continue
        read += 1
        pdu = asked.pdu[:VARIABLE_ITEMS] + one
        pdu = pdu[:2] + (len(pdu) - 6).to_bytes(4, "big") + pdu[6:]
        again = read_request(pdu)
        expected = negotiator.negotiate_with_pynetdicom(again)
        assert negotiator.negotiate(again).accept(again) == expected.accept(again)
    assert read > 50
