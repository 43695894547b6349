"""The characters of a report, whatever its sender declares."""

from __future__ import annotations

import re
from typing import Final

BYTE_ORDER_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

HL7_CHARACTER_SETS: Final = {
    "": "",
    "ASCII": "",
    "8859/1": "latin-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "GB 18030-2000": "gb18030",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "BIG-5": "big5",
    "BIG5": "big5",
    "KS X 1001": "euc_kr",
    "CNS 11643-1992": "euc_tw",
    "ISO IR87": "iso2022_jp",
}
"""HL7 Table 0211, and what senders write in its place → Python's codec; "" is none."""


def decode(content: bytes, declared: str = "") -> str:
    """Turn bytes into text: the declared character set first, then what the bytes look like.

    Parameters
    ----------
    declared
        Python codec; empty where none is declared or it is unknown.

    Returns
    -------
    str
        Never fails: Latin-1 reads any byte. NULs are left out.
    """
    for mark, codec in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _cleaned(content.decode(codec, errors="replace").removeprefix("\ufeff"))
    if content.isascii():
        return _cleaned(content.decode("ascii"))
    utf_8 = _strictly(content, "utf-8")
    if utf_8 is not None and any(character >= "\u0800" for character in utf_8):
        # Other sets give such sequences of three bytes only in a text made for the purpose.
        return _cleaned(utf_8)
    for codec in (declared, "utf-8"):
        if codec and (text := _strictly(content, codec)) is not None and _is_plausible(text, codec):
            return _cleaned(text)
    if _looks_double_byte(content) and (text := _strictly(content, "gb18030")) is not None:
        return _cleaned(text)
    if declared and (text := _strictly(content, declared)) is not None:
        return _cleaned(text)
    return _cleaned(content.decode("cp1252", errors="replace"))


def repaired(text: str) -> str:
    """Read a text again that was read byte by byte, as where its character set was not declared.

    Chinese read as Latin-1 is nothing but signs and accents in pairs; no report has those.
    """
    try:
        content = text.encode("latin-1")
    except UnicodeEncodeError:
        return text
    without = re.sub(rb"\x1b\$\)A|\x1b\(B|\x1b-A", b"", content)
    return decode(without) if _looks_double_byte(without) else text


def hl7_codec(msh_18: str) -> str:
    """Python's codec for a value of MSH-18; empty where it is unknown."""
    return HL7_CHARACTER_SETS.get(msh_18.strip().upper(), "")


def _cleaned(text: str) -> str:
    return text.replace("\0", "")


def _strictly(content: bytes, codec: str) -> str | None:
    try:
        return content.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return None


def _is_plausible(text: str, codec: str) -> bool:
    """Whether a one-byte set, which reads anything, has read text and not pairs of bytes.

    UTF-8 and GB18030 read as Latin-1 are full of signs that no report has.
    """
    if codec in ("utf-8", "gb18030", "big5", "euc_kr", "euc_tw", "iso2022_jp"):
        return True
    high = [character for character in text if character > "\x7f"]
    letters = sum(character.isalpha() for character in high)
    controls = sum("\x80" <= character < "\xa0" for character in high)
    return controls == 0 and letters * 2 >= len(high) and not _looks_double_byte(text.encode(codec))


def _looks_double_byte(content: bytes) -> bool:
    """Whether nearly all high bytes stand in pairs, as in GB 2312: in Western text they do not."""
    high = sum(byte >= 0x80 for byte in content)
    paired = sum(len(run) // 2 * 2 for run in re.findall(rb"[\x80-\xff]{2,}", content))
    return high > 0 and paired >= 0.9 * high
