"""Command sets are read as pynetdicom reads them, and written as it writes them."""

from __future__ import annotations

from io import BytesIO

import pytest
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE

from node.errors import ProtocolError
from node.receive.commands import Command, encode_response, parse_command
from tests.fuzz.door import MOVE_ORIGINATOR, commands

CT = "1.2.840.10008.5.1.4.1.1.2"


def encoded(message, primitive):
    """A command set as pynetdicom writes it."""
    primitive.AffectedSOPClassUID = CT
    message.primitive_to_message(primitive)
    (pdata, *_) = message.encode_msg(1, 16384)
    ((_, value),) = pdata.presentation_data_value_list
    return value[1:]


def request(uid, message_id, **more):
    primitive = C_STORE()
    primitive.MessageID = message_id
    primitive.AffectedSOPInstanceUID = uid
    primitive.Priority = 2
    primitive.DataSet = BytesIO(b"\x08\x00")
    for keyword, value in more.items():
        setattr(primitive, keyword, value)
    return encoded(C_STORE_RQ(), primitive)


@pytest.mark.parametrize("more", [{}, {"MoveOriginatorMessageID": 7}], ids=["plain", "moved"])
@pytest.mark.parametrize("message_id", [0, 1, 256, 65535])
@pytest.mark.parametrize("uid", ["1.2", "1.2.3", "1." + "2" * 62])
def test_a_store_request_says_what_pynetdicom_has_written(uid, message_id, more):
    command = parse_command(request(uid, message_id, **more))

    assert command == Command(1, message_id, True, CT, uid)


@pytest.mark.parametrize("uid", ["1.2", "1.2.3"])
def test_a_store_response_is_what_pynetdicom_writes(uid):
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo = 9
    primitive.AffectedSOPInstanceUID = uid
    primitive.Status = 0x0000

    ours = encode_response(Command(1, 9, True, CT, uid), 0x0000)

    assert ours == encoded(C_STORE_RSP(), primitive)


def test_every_flipped_bit_of_a_store_request_reads_as_with_one_element_more():
    data = commands()[0]
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            try:
                command = parse_command(bytes(flipped))
            except ProtocolError:
                continue
            assert parse_command(bytes(flipped) + MOVE_ORIGINATOR) == command


def test_a_store_request_cut_anywhere_breaks_the_protocol():
    data = commands()[0]
    whole_elements = {parse_command(data), parse_command(data)._replace(sop_instance_uid="")}
    for end in range(len(data)):
        try:
            command = parse_command(data[:end])
        except ProtocolError:
            continue
        assert command in whole_elements
