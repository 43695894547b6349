"""A DICOM file as a C-STORE needs it: what it is, and where its data set begins."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from pynetdicom.dsutils import encode

from node.deliver.negotiation import CONVERTIBLE, NATIVE, Agreement, Key
from node.errors import NotAccepted, PermanentError

_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_HEAD_BYTES: Final = 65536
"""Of a deflated data set: more than enough to hold its first elements."""


@dataclass(frozen=True)
class DicomFile:
    """One file on disk.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        Of the data set, which decides, not of the file meta information.
    offset
        Of the first byte of the data set.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int

    @property
    def key(self) -> Key:
        """What an association must be negotiated for."""
        return self.sop_class_uid, self.transfer_syntax_uid


def read_file(path: Path) -> DicomFile:
    """Read what is needed of a file, and no more than its first elements.

    Raises
    ------
    PermanentError
        If it is not there, is no DICOM file (PS3.10), or has no SOP class or instance UID.
    OSError
        If it cannot be read now.
    """
    with _permanent(path), path.open("rb") as file:
        read_preamble(file, force=False)
        meta = read_dataset(
            file,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: tag.group != 2,
        )
        offset = file.tell()
        syntax = UID(_text(meta, _TRANSFER_SYNTAX_UID))
        start: BinaryIO = file
        if syntax == DeflatedExplicitVRLittleEndian:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            start = BytesIO(inflater.decompress(file.read(_HEAD_BYTES), _HEAD_BYTES))
        ds = read_dataset(
            start,
            is_implicit_VR=syntax.is_implicit_VR,
            is_little_endian=syntax.is_little_endian,
            stop_when=lambda tag, _vr, _length: tag > _SOP_INSTANCE_UID,
        )
        return DicomFile(
            path, _text(ds, _SOP_CLASS_UID), _text(ds, _SOP_INSTANCE_UID), str(syntax), offset
        )


@contextmanager
def data_set(file: DicomFile, agreed: Agreement) -> Iterator[tuple[int, BinaryIO, int]]:
    """Open the data set in a transfer syntax the destination accepted for it.

    Yields
    ------
    context_id : int
        Of the accepted presentation context.
    stream : BinaryIO
        Stands at the first byte of the data set.
    size : int
        Of the data set, bytes.

    Raises
    ------
    PermanentError
        If the destination does not accept the SOP class, or no transfer syntax that the
        object can be brought into.
    """
    if (own := agreed.contexts.get(file.key)) is not None:
        with _open(file) as stream:
            size = stream.seek(0, 2) - file.offset
            stream.seek(file.offset)
            yield own, stream, size
        return
    syntax = _native(file, agreed)
    with _permanent(file.path):
        content = _converted(file.path, syntax)
    yield agreed.contexts[file.sop_class_uid, str(syntax)], BytesIO(content), len(content)


def _native(file: DicomFile, agreed: Agreement) -> UID:
    """The transfer syntax to convert an object into."""
    accepted = agreed.syntaxes(file.sop_class_uid)
    name, own = UID(file.sop_class_uid).name, UID(file.transfer_syntax_uid)
    if not accepted:
        raise NotAccepted(
            f"the destination does not accept SOP class {name} ({file.sop_class_uid})"
        )
    native = next((syntax for syntax in NATIVE if str(syntax) in accepted), None)
    if not (own in CONVERTIBLE or own.is_compressed) or native is None:
        raise NotAccepted(f"the destination does not accept {own.name} for {name}")
    return native


def _converted(path: Path, syntax: UID) -> bytes:
    ds = dcmread(path)
    if (own := ds.file_meta.TransferSyntaxUID) not in CONVERTIBLE:
        _decompress(ds, own)
    # A data set that was read remembers its encoding; a new one takes what it is given.
    fresh = Dataset()
    fresh.update(ds)
    content = encode(fresh, is_implicit_vr=syntax.is_implicit_VR, is_little_endian=True)
    if content is None:
        raise PermanentError(f"{path.name} cannot be written as {syntax.name}")
    return content


def _decompress(ds: Dataset, own: UID) -> None:
    """Decode the pixels for a destination that takes no compressed ones."""
    try:
        ds.decompress(generate_instance_uid=False)
    except Exception as error:  # decoders raise anything on pixels that are not what they say
        raise NotAccepted(
            f"the destination does not accept {own.name}, and it cannot be decoded "
            f"({type(error).__name__})"
        ) from error


def _open(file: DicomFile) -> BinaryIO:
    try:
        return file.path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise PermanentError(f"{file.path.name} is gone from the disk") from error


def _text(ds: Dataset, tag: int) -> str:
    """A UID as it stands in the file: pydicom's own conversion warns about odd ones."""
    value = ds.get_item(tag).value
    return (value.decode("ascii") if isinstance(value, bytes) else str(value)).strip("\0 ")


@contextmanager
def _permanent(path: Path) -> Iterator[None]:
    """What is wrong with the file is wrong for good; what is wrong with the disk may pass."""
    try:
        yield
    except FileNotFoundError as error:
        raise PermanentError(f"{path.name} is gone from the disk") from error
    except (PermanentError, OSError):
        raise
    except Exception as error:  # pydicom raises anything on a damaged file
        raise PermanentError(
            f"{path.name} cannot be read as a DICOM file (PS3.10; {type(error).__name__})"
        ) from error
