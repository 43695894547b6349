"""Any bytes that a destination answers."""

from __future__ import annotations

import struct
from contextlib import suppress

from node.deliver.commands import C_STORE_RQ, fragments, status_of
from node.deliver.negotiation import agreement, proposals, rejection
from node.receive.commands import Command, encode_response

KEYS = [("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"), ("1.2.840.10008.1.1", "1.2.3")]
_PROPOSED = proposals(KEYS)


def check_accept(body: bytes) -> bool:
    """An A-ASSOCIATE-AC is an agreement on what was proposed, or cannot be read."""
    with suppress(ValueError):
        agreed = agreement(_PROPOSED, body)
        proposed = {context.context_id for context in _PROPOSED}
        assert set(agreed.contexts.values()) <= proposed
        assert agreed.max_pdu_bytes >= 0
        return bool(agreed.contexts)
    return False


def check_reject(body: bytes) -> bool:
    """An A-ASSOCIATE-RJ is a reason in words, or cannot be read."""
    with suppress(ValueError):
        assert rejection(body)
        return True
    return False


def check_response(body: bytes) -> bool:
    """A P-DATA-TF with a response is a status, or cannot be read."""
    with suppress(ValueError):
        command_set = b"".join(piece for _, piece in fragments(body))
        assert 0 <= status_of(command_set, C_STORE_RQ, 7) <= 0xFFFF
        return True
    return False


def accepts() -> list[bytes]:
    """Variable fields of A-ASSOCIATE-AC PDUs."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, context in enumerate(_PROPOSED):
        content = bytes((context.context_id or 0, 0, number % 2, 0))
        items += _item(0x21, content + _item(0x40, str(context.transfer_syntax[0]).encode()))
    items += _item(0x50, _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3"))
    fixed = struct.pack(">HH16s16s32x", 1, 0, b"PACS".ljust(16), b"WETREAD".ljust(16))
    return [fixed + items]


def rejects() -> list[bytes]:
    """Variable fields of A-ASSOCIATE-RJ PDUs."""
    return [b"\0\1\1\7", b"\0\2\3\2"]


def responses() -> list[bytes]:
    """Variable fields of P-DATA-TF PDUs with a C-STORE-RSP."""
    response = encode_response(Command(1, 7, True, "1.2.3", "1.2.3.4"), 0x0000)
    whole = struct.pack(">IBB", len(response) + 2, 1, 3) + response
    halves = struct.pack(">IBB", 12, 1, 1) + response[:10]
    halves += struct.pack(">IBB", len(response) - 8, 1, 3) + response[10:]
    return [whole, halves]


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content
