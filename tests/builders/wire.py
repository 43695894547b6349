"""Data sets as they come over the wire, and how a receiver is given them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from io import BytesIO
from mmap import mmap

from pydicom.dataset import Dataset

from node.receive.store_request import Keeping, StoreRequest
from node.store.chunk import Chunk
from node.store.standing import Receipt


def data_set_of(ds: Dataset) -> bytes:
    """Encode a data set in the transfer syntax of its file meta, without that."""
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    content = stream.getvalue()
    # Preamble, prefix and group length element, then as many bytes as that says.
    return content[144 + int.from_bytes(content[140:144], "little") :]


def request_for(ds: Dataset, **difference: str) -> StoreRequest:
    """The C-STORE request that announces a data set."""
    plain = {
        "sop_class_uid": str(ds.SOPClassUID),
        "sop_instance_uid": str(ds.SOPInstanceUID),
        "transfer_syntax_uid": str(ds.file_meta.TransferSyntaxUID),
        "calling_ae_title": "CT1",
    }
    return StoreRequest(**{**plain, **difference})


def fragments(content: bytes, size: int = 131072) -> Iterator[list[memoryview]]:
    """Cut a data set as PDUs do."""
    for start in range(0, len(content), size):
        yield [memoryview(content)[start : start + size]]


def whole(content: bytes, size: int = 131072) -> Chunk:
    """Lay a data set out in memory as a receiver does that has read all of it, in PDUs."""
    places, at = [], 0
    memory = memoryview(mmap(-1, (len(content) + 12 * (len(content) // size + 1) + 4096) & -4096))
    for [piece] in fragments(content, size):
        at += 12
        memory[at : at + len(piece)] = piece
        places.append((at, len(piece)))
        at += len(piece)
    return Chunk(memory, places)


def give(keeping: Keeping, ds: Dataset, **difference: str) -> Future[Receipt]:
    """Give a receiver a data set, as the door does; return as soon as it is acknowledged."""
    incoming = keeping.open().begin(request_for(ds, **difference))
    chunk = whole(data_set_of(ds))
    if incoming.takes_bytes >= chunk.size_bytes:
        incoming.finish(chunk)
        return incoming.hand_over()
    try:
        for piece in chunk.pieces():
            incoming.write([piece])
    except BaseException:
        incoming.discard()
        raise
    incoming.finish()
    return incoming.hand_over()


def keep(keeping: Keeping, ds: Dataset, **difference: str) -> Receipt:
    """Give a receiver a data set, and wait for what the index says of it."""
    return give(keeping, ds, **difference).result(60)
