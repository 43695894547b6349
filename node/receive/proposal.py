"""The presentation contexts of a usual A-ASSOCIATE-RQ (PS3.8 Section 9.3.2), read by their lengths.

pynetdicom checks each of the hundreds of UIDs of a long request several times, which takes it
some forty milliseconds. Here the usual request is read; at anything else the answer is None,
and pynetdicom reads it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from node.dimse import APPLICATION_CONTEXT
from node.store.columns import MAX_UID_LENGTH

APPLICATION_CONTEXT_ITEM: Final = 0x10
PRESENTATION_CONTEXT_RQ: Final = 0x20
PRESENTATION_CONTEXT_AC: Final = 0x21
ABSTRACT_SYNTAX: Final = 0x30
TRANSFER_SYNTAX: Final = 0x40
USER_INFORMATION: Final = 0x50
MAXIMUM_LENGTH: Final = 0x51
IMPLEMENTATION_CLASS: Final = 0x52
IMPLEMENTATION_VERSION: Final = 0x55
"""Types of item (PS3.8 Sections 9.3.2 and 9.3.3, PS3.7 Section D.3.3)."""

_ITEM: Final = struct.Struct(">BxH")
_CONTEXT_HEAD: Final = 4
"""Context ID and three reserved bytes, or the result in the third of an answer."""
_UID: Final = re.compile(rb"(0|[1-9]\d*)(\.(0|[1-9]\d*))*")
"""PS3.5 Section 9.1."""
_NAME: Final = re.compile(rb"[!-\[\]-~]+")
_LONGEST_VERSION_NAME: Final = 16


class Proposal(NamedTuple):
    """What a caller asks for.

    Parameters
    ----------
    contexts
        By context ID: abstract syntax, all transfer syntaxes, and the first of them.
    max_pdu_bytes
        Largest P-DATA-TF variable field it takes; 0: any.
    """

    contexts: Mapping[int, tuple[str, frozenset[str], str]]
    max_pdu_bytes: int


class _Unusual(Exception):  # noqa: N818 - no error: pynetdicom reads it instead
    """Not the request that almost every sender makes."""


def read_proposal(items: bytes) -> Proposal | None:
    """Read what is proposed.

    Parameters
    ----------
    items
        The variable items of the PDU.

    Returns
    -------
    Proposal or None
        None where something is unusual: a broken item, a UID that is none, a context ID twice,
        user information of which more than the lengths and names of an implementation is said.
    """
    try:
        return _proposal(items)
    except _Unusual:
        return None


def encode_answer(context_id: int, result: int, transfer_syntax: str) -> bytes:
    """Encode a presentation context item of an A-ASSOCIATE-AC (PS3.8 Section 9.3.3.2)."""
    uid = transfer_syntax.encode("ascii")
    value = struct.pack(">BxBx", context_id, result) + _ITEM.pack(TRANSFER_SYNTAX, len(uid)) + uid
    return _ITEM.pack(PRESENTATION_CONTEXT_AC, len(value)) + value


def _proposal(items: bytes) -> Proposal:
    parts = list(_items(items))
    (first, name), (last, information) = parts[0], parts[-1]
    if first != APPLICATION_CONTEXT_ITEM or name != APPLICATION_CONTEXT.encode():
        raise _Unusual
    if last != USER_INFORMATION or len(parts) < len(("name", "context", "information")):
        raise _Unusual
    max_pdu_bytes = _max_pdu_bytes(information)
    contexts = {}
    for kind, value in parts[1:-1]:
        if kind != PRESENTATION_CONTEXT_RQ or len(value) <= _CONTEXT_HEAD:
            raise _Unusual
        context_id = value[0]
        if context_id in contexts or context_id % 2 == 0:
            raise _Unusual
        contexts[context_id] = _syntaxes(value[_CONTEXT_HEAD:])
    return Proposal(contexts, max_pdu_bytes)


def _syntaxes(items: bytes) -> tuple[str, frozenset[str], str]:
    (kind, abstract), *others = _items(items)
    if kind != ABSTRACT_SYNTAX or not others:
        raise _Unusual
    if any(kind != TRANSFER_SYNTAX for kind, _ in others):
        raise _Unusual
    transfer = [_uid(value) for _, value in others]
    return _uid(abstract), frozenset(transfer), transfer[0]


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each item; at least one."""
    at = 0
    while at < len(data) or not data:
        if len(data) - at < _ITEM.size:
            raise _Unusual
        kind, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size + length
        if at > len(data):
            raise _Unusual
        yield kind, data[at - length : at]


def _max_pdu_bytes(items: bytes) -> int:
    """Return the one thing in the user information that the node goes by."""
    found = dict(_items(items))
    if not {MAXIMUM_LENGTH, IMPLEMENTATION_CLASS} <= found.keys() <= _USUAL_INFORMATION:
        raise _Unusual
    if len(found[MAXIMUM_LENGTH]) != struct.calcsize(">I"):
        raise _Unusual
    _uid(found[IMPLEMENTATION_CLASS])
    name = found.get(IMPLEMENTATION_VERSION, b"usual")
    if not (0 < len(name) <= _LONGEST_VERSION_NAME and _NAME.fullmatch(name)):
        raise _Unusual
    return int.from_bytes(found[MAXIMUM_LENGTH], "big")


_USUAL_INFORMATION: Final = {MAXIMUM_LENGTH, IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION}


def _uid(value: bytes) -> str:
    if len(value) > MAX_UID_LENGTH or not _UID.fullmatch(value):
        raise _Unusual
    return value.decode("ascii")
