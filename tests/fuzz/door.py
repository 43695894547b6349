"""Any bytes that arrive at the port: association requests, PDUs, command sets."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from dataclasses import replace

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC

from node.dimse.references import encode_report, read_report
from node.dimse.references import read_request as read_commitment
from node.errors import ProtocolError
from node.receive.admission import Rejection
from node.receive.commands import Command, encode_response, parse_command
from node.receive.negotiation import VARIABLE_ITEMS, Negotiator, read_request
from node.receive.pdu import Fragment, PduReader, abort, data_transfer, release_response
from tests.builders.encoded import element

MAX_PDU_BYTES = 16384
MOVE_ORIGINATOR = element(0x00001031, struct.pack("<H", 1), vr="US", implicit=True)
_NEGOTIATOR = Negotiator([], MAX_PDU_BYTES)


def check_stream(data: bytes) -> bool:
    """A stream of PDUs gives the same events in any pieces, and no error but ours."""
    whole = _events(data, [len(data)])
    pieces = random.Random(data[:4])  # noqa: S311 - which pieces, not a secret
    smallest = 1 + len(data) // 500
    for sizes in ([smallest], [pieces.randint(1, 9)], [pieces.randint(1, len(data) + 1), 1, 7]):
        assert _events(data, sizes) == whole
    return whole[-3] is True


def check_command(data: bytes) -> bool:
    """A command set is a command that can be answered, or breaks the protocol."""
    try:
        command = parse_command(data)
    except ProtocolError:
        return False
    # With one element more it is none that comes with every image, and read another way.
    assert parse_command(data + MOVE_ORIGINATOR) == command
    again = parse_command(encode_response(command, 0xA700, "no room\\left"))
    assert again.message_id == command.message_id
    assert again.sop_class_uid == command.sop_class_uid
    assert not again.has_data_set
    return True


def check_request(data: bytes) -> bool:
    """An association request is answered as pynetdicom would, in bytes that it reads."""
    try:
        request = read_request(data)
        answer = _NEGOTIATOR.negotiate(request)
    except ProtocolError:
        return False
    if isinstance(answer, Rejection):
        return False
    # Titles are judged before, and pynetdicom has an opinion on them, too.
    plain = replace(request, pdu=requests()[0][:VARIABLE_ITEMS] + request.pdu[VARIABLE_ITEMS:])
    assert answer == _NEGOTIATOR.negotiate_with_pynetdicom(plain)
    accept = A_ASSOCIATE_AC()
    accept.decode(answer.accept(request))
    accepted = [item for item in accept.presentation_context if item.result == 0]
    assert len(accepted) == len(answer.contexts)
    return bool(accepted)


def check_commitment(data: bytes) -> bool:
    """A request or report of storage commitment is read in either encoding, or refused."""
    understood = False
    for explicit in (False, True):
        with suppress(ValueError):
            uid, wanted = read_commitment(data, explicit=explicit)
            again = encode_report(uid, wanted, {}, explicit=explicit)
            assert read_commitment(again, explicit=explicit) == (uid, wanted)
            understood = True
        with suppress(ValueError):
            report = read_report(data, explicit=explicit)
            failed = {("1.2.3", each): reason for each, reason in report.failed.items()}
            committed = [("1.2.3", each) for each in report.committed]
            again = encode_report(report.transaction_uid, committed, failed, explicit=explicit)
            assert read_report(again, explicit=explicit) == report
    return understood


def _events(data: bytes, sizes: list[int]) -> list[object]:
    """What the stream says: whole fragments, PDUs by their type, and how it ends."""
    reader = PduReader(MAX_PDU_BYTES)
    events: list[object] = []
    value = bytearray()
    at = number = 0
    try:
        while at < len(data):
            piece = data[at : at + sizes[number % len(sizes)]]
            at, number = at + len(piece), number + 1
            for event in reader.feed(memoryview(piece)):
                if not isinstance(event, Fragment):
                    events.append(event.pdu_type)
                    continue
                value += piece[event.at : event.at + event.size]
                if event.is_last:
                    events.append((event.context_id, event.is_command, bytes(value)))
                    value.clear()
    except ProtocolError as error:
        events.append(str(error))
    else:
        events.append(reader.is_between_pdus)
    return [*events, bytes(value), reader.progress]


def streams() -> list[bytes]:
    """Streams of an open association."""
    command = commands()[0]
    store = data_transfer(1, True, command) + data_transfer(1, False, b"\x08\0\x60\0CS\x02\0CT")
    two_values = struct.pack(">BxIIBB", 4, 6 + 3 + 6 + 2, 5, 1, 1) + b"abc"
    two_values += struct.pack(">IBB", 4, 1, 3) + b"de"
    empty = struct.pack(">BxIIBB", 4, 6, 2, 3, 2)
    release = struct.pack(">BxI4x", 5, 4)
    return [store, store + release, two_values + empty, release_response(), abort(0, 0)]


def commands() -> list[bytes]:
    """C-STORE-RQ, C-ECHO-RQ and a response."""
    uids = ("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5")
    return [
        _command(0x0001, 7, 0x0001, *uids),
        _command(0x0030, 1, 0x0101, "1.2.840.10008.1.1", ""),
        encode_response(Command(1, 9, True, *uids), 0xC000, "broken"),
    ]


def _command(field: int, message_id: int, data_set: int, *uids: str) -> bytes:
    def short(number: int, value: int) -> bytes:
        return element(number, struct.pack("<H", value), vr="US", implicit=True)

    body = element(0x00000002, uids[0], vr="UI", implicit=True)
    body += short(0x00000100, field) + short(0x00000110, message_id)
    body += short(0x00000700, 0) + short(0x00000800, data_set)
    if uids[1]:
        body += element(0x00001000, uids[1], vr="UI", implicit=True)
    return element(0x00000000, struct.pack("<I", len(body)), vr="UL", implicit=True) + body


def commitments() -> list[bytes]:
    """Data sets of storage commitment."""
    instances = [("1.2.840.10008.5.1.4.1.1.2", f"1.2.3.{number}") for number in range(3)]
    failed = {("1.2.840.10008.5.1.4.1.1.2", "1.2.4"): 0x0112}
    return [
        encode_report("2.25.5", instances, reasons, explicit=explicit)
        for explicit in (False, True)
        for reasons in ({}, failed)
    ]


def requests() -> list[bytes]:
    """A-ASSOCIATE-RQ PDUs of a storage SCU."""
    small = [("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]
    syntaxes = ["1.2.840.10008.1.2", str(ExplicitVRLittleEndian)]
    large = [*small, ("1.2.840.10008.5.1.4.1.1.2", syntaxes), ("1.2.3", syntaxes)]
    return [_request(small), _request(large)]


def _request(contexts: list[tuple[str, list[str]]]) -> bytes:
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract_syntax, syntaxes) in enumerate(contexts):
        content = bytes((2 * number + 1, 0, 0, 0)) + _item(0x30, abstract_syntax.encode())
        content += b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
        items += _item(0x20, content)
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3") + _item(0x55, b"FUZZ")
    role = _item(0x54, struct.pack(">H", 17) + b"1.2.840.10008.1.1\1\0")
    extended = _item(0x56, struct.pack(">H", 17) + b"1.2.840.10008.1.1\2")
    identity = _item(0x58, b"\1\0" + struct.pack(">H", 4) + b"user" + struct.pack(">H", 0))
    items += _item(0x50, user + role + extended + identity)
    fixed = struct.pack(">HH16s16s32x", 1, 0, b"WETREAD".ljust(16), b"FUZZ".ljust(16))
    return struct.pack(">BxI", 1, len(fixed + items)) + fixed + items


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content
