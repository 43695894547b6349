"""What is packed into a message or an object, by its media type → text."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from node.errors import ReportError
from node.report.cda import read_cda
from node.report.charset import decode
from node.report.pdf import read_pdf

MAX_PAYLOAD_BYTES: Final = 64 * 2**20


def text_of_payload(subtype: str, encoding: str, data: str) -> str:
    """Decode the data of an ED field or of a FHIR attachment, and read it.

    Parameters
    ----------
    subtype
        Such as ``PDF``, ``application/pdf``, ``PLAIN``, ``text/xml``.
    encoding
        ``Base64``, ``Hex`` or ``A`` (none), as HL7 Table 0299 has them.

    Raises
    ------
    ReportError
        If it cannot be decoded, or its form cannot be read.
    """
    match encoding.strip().upper():
        case "BASE64":
            content = from_base64(data)
        case "HEX":
            try:
                content = bytes.fromhex(data)
            except ValueError as error:
                raise ReportError("the data is no hexadecimal") from error
        case "A" | "":
            content = data.encode()
        case _:
            raise ReportError("the encoding of the data is none of Base64, Hex and A")
    return read_payload(content, subtype)


def from_base64(data: str) -> bytes:
    r"""Decode base64, also with line breaks, escaped ones (``\.br\``) among them.

    Raises
    ------
    ReportError
        If it is none.
    """
    plain = re.sub(r"\\[.]?[A-Za-z0-9]{1,8}\\|\s", "", data)
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ReportError("the data is no base64") from error


def read_payload(content: bytes, subtype: str = "") -> str:
    """Read a document by what it is, its bytes before what is said about them.

    Raises
    ------
    ReportError
        If it is too large, its form cannot be read, or there is no text in it.
    """
    if len(content) > MAX_PAYLOAD_BYTES:
        raise ReportError(f"the document has more than {MAX_PAYLOAD_BYTES} bytes")
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    declared = subtype.strip().lower().split(";")[0].rpartition("/")[2]
    if b"%PDF-" in content[:1024]:
        return read_pdf(content)
    if start.startswith(b"<") and (b"ClinicalDocument" in content[:8192] or "xml" in declared):
        return read_cda(content)
    if declared in ("pdf", "rtf", "png", "jpeg", "tiff", "dicom") or start.startswith(b"{\\rtf"):
        raise ReportError(
            "the document is of a form that cannot be read: expected PDF, CDA or text"
        )
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    if sum(character < " " and character not in "\t\n\f" for character in text) * 20 > len(text):
        raise ReportError("the document is no text: expected PDF, CDA or text")
    return text
