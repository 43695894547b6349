"""Any bytes that claim to be a DICOM file: the scanner against pydicom."""

from __future__ import annotations

import zlib
from functools import cache
from io import BytesIO

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.errors import PermanentError
from node.part10 import after_file_meta
from node.store.elements import IDENTIFIERS, Header
from node.store.header import header_begun, header_of_values, read_header
from node.store.likeness import Likeness
from node.store.scanner import WINDOW_BYTES, scan
from tests.builders import ct_series
from tests.builders.encoded import element, file_of, identifiers, instance, item, sequence
from tests.builders.radiograph import radiograph

DEFLATED = str(DeflatedExplicitVRLittleEndian)


def scanned(file_bytes: bytes) -> str | None:
    """What the scanner says of a file, as text that tells types apart; None if it is not sure."""
    values = scan(lambda offset: file_bytes[offset : offset + WINDOW_BYTES])
    if values is None or not all(word in values for word in IDENTIFIERS):
        return None
    try:
        return repr(header_of_values(values))
    except PermanentError as error:
        return str(error)


def parsed(file_bytes: bytes) -> str:
    """What pydicom says of it; the only error that may come out is ours."""
    try:
        return repr(read_header(BytesIO(file_bytes)))
    except PermanentError as error:
        return str(error)


def check_header(file_bytes: bytes) -> bool:
    """The scanner says what pydicom says, or nothing; neither lets an exception out."""
    answer = scanned(file_bytes)
    expected = parsed(file_bytes)
    assert answer in (None, expected), f"scanned {answer}\nparsed  {expected}"
    return answer is not None


def check_data_set(data_set: bytes) -> bool:
    """The same for any data set, in each encoding that a sender may say it has."""
    explicit = check_header(file_of(data_set))
    implicit = check_header(file_of(data_set, str(ImplicitVRLittleEndian)))
    return explicit or implicit


def begun(data_set: bytes, implicit: bool, likeness: Likeness) -> str:
    """What is said of a data set that has begun to arrive, as text."""
    meta, syntax = file_of(b""), str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
    content = meta + data_set
    header = header_begun(lambda size: content[:size], len(meta), syntax, likeness)
    return text_of(header)


def text_of(header: Header | None) -> str:
    """Text that tells the types of values apart, and not their order."""
    return repr(header and header._replace(attributes=sorted(header.attributes.items())))


def check_likeness(data_set: bytes) -> bool:
    """By its likeness to others a data set reads as it does without; it teaches nothing wrong."""
    understood = False
    for implicit, series in enumerate(_series()):
        likeness = Likeness()
        for one in series:
            begun(one, bool(implicit), likeness)
        alone = begun(data_set, bool(implicit), Likeness())
        for one, expected in ((data_set, alone), *series.items(), (data_set, alone)):
            assert begun(one, bool(implicit), likeness) == expected
        understood |= alone != "None"
    return understood


@cache
def _series() -> tuple[dict[bytes, str], ...]:
    """Images of a series in explicit and in implicit VR, and what the scanner says of each."""
    return tuple(
        {one: begun(one, implicit, Likeness()) for one in images_of_a_series(implicit)}
        for implicit in (False, True)
    )


def of_a_series() -> list[bytes]:
    """Images of a series in either encoding."""
    return [one for implicit in (False, True) for one in images_of_a_series(implicit)]


def images_of_a_series(implicit: bool, images: int = 5) -> list[bytes]:
    """Data sets that differ in elements that are kept, skipped, and of undefined length."""
    pixels = element("PixelData", bytes(8192), vr="OW", implicit=implicit)
    return [
        data_set_in(
            instance(
                element("ContentTime", f"12{number:02}00", implicit=implicit),
                element("SOPInstanceUID", f"1.2.3.{number}", implicit=implicit),
                element("SpecificCharacterSet", "ISO_IR 192", implicit=implicit),
                element("SeriesDescription", "Thörax", implicit=implicit),
                sequence(
                    "ReferencedImageSequence",
                    item(element("ReferencedSOPInstanceUID", f"1.2.{number}", implicit=implicit)),
                    implicit=implicit,
                ),
                element("ContrastBolusAgent", "", implicit=implicit),
                element("InstanceNumber", str(number), implicit=implicit),
                element("ImagePositionPatient", f"0\\1.5\\{number}e1", implicit=implicit),
                element(0x00291010, bytes(2 * number), vr="OB", implicit=implicit),
                pixels,
                implicit=implicit,
            )
        )
        for number in range(8, 8 + images)
    ]


def data_sets() -> list[bytes]:
    """Data sets without File Meta Information."""
    return [data_set_in(file_bytes) for file_bytes in _encoded()]


def data_set_in(file_bytes: bytes) -> bytes:
    """What follows the File Meta Information of a file."""
    return file_bytes[after_file_meta(file_bytes)[0] :]


def files() -> list[bytes]:
    """Files of every kind the node meets, without their pixels."""
    built = [ct_series(slices=1, rows=2, columns=2)[0], radiograph()]
    images = [_saved(ds, implicit) for ds in built for implicit in (False, True)]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data_set = b"".join(identifiers().values())
    deflated = file_of(deflater.compress(data_set) + deflater.flush(), DEFLATED)
    big_endian = file_of(b"\x00\x08\x00\x60CS\x00\x02CT", "1.2.840.10008.1.2.2")
    return [*_encoded(), *(image[:4096] for image in images), deflated, big_endian]


def _encoded() -> list[bytes]:
    found = []
    for implicit in (False, True):
        inner = sequence(
            "PurposeOfReferenceCodeSequence",
            item(element("CodeValue", "1", implicit=implicit), defined=False),
            implicit=implicit,
        )
        outer = sequence(
            "ReferencedImageSequence",
            item(element("SpecificCharacterSet", "GBK", implicit=implicit) + inner),
            item(b"", defined=False),
            implicit=implicit,
        )
        unknown = sequence(
            0x00091010,
            item(element("CodeValue", "1", implicit=True), defined=False),
            vr="UN",
            implicit=implicit,
        )
        texts = [
            element("SpecificCharacterSet", term, implicit=implicit)
            for term in ("ISO_IR 192", "\\ISO 2022 IR 87", "GB18030")
        ]
        numbers = [
            element("ImagePositionPatient", "-1.5\\2e1\\0", implicit=implicit),
            element("InstanceNumber", "12", implicit=implicit),
            element("Rows", b"\x00\x02", implicit=implicit),
            element("StudyDescription", "Thörax\\胸部", implicit=implicit),
            element("RequestedProcedureDescription", "CT", implicit=implicit),
        ]
        found += [instance(text, outer, *numbers, implicit=implicit) for text in texts]
        found.append(instance(outer, unknown, implicit=implicit))
    return found


def _saved(ds: object, implicit: bool) -> bytes:
    if implicit:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # type: ignore[attr-defined]
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)  # type: ignore[attr-defined]
    return stream.getvalue()
