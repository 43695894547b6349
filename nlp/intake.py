"""Reports from bytes: encodings told apart, plain text, JSON and JSON Lines told apart."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nlp.errors import TextError
from nlp.lexicon import LANGUAGES

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHINESE_PAIR = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")
_HIGH = re.compile(rb"[\x80-\xff]+")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_JSON_START = re.compile(r"\s*(?:\{|\[\s*\{)")


@dataclass(frozen=True, slots=True)
class Intake:
    """One report as it came in.

    Parameters
    ----------
    where
        For messages: a line number, or what stands for the whole input.
    id
        The sender's name for it, or None.
    text
        The report's text.
    """

    where: str
    id: str | int | None
    text: str
    modality: str | None = None
    body_part: str | None = None
    language: str | None = None


def decode_text(data: bytes) -> str:
    """Decode UTF-8, UTF-16 or UTF-32 with a byte order mark, GB18030, or else Latin-1.

    A few damaged characters become U+FFFD.

    Raises
    ------
    TextError
        The bytes are no text (NUL among them).
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, errors="replace")
    if b"\x00" in data[:65_536]:
        raise TextError(
            f"the input is no text: byte {data.index(0)} is NUL; expected UTF-8, GB18030, Latin-1, "
            "or UTF-16 with a byte order mark"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_legacy_encoding(data), errors="replace")


def _legacy_encoding(data: bytes) -> str:
    """GB18030 if most bytes above ASCII are pairs of it, UTF-8 if most form characters of it."""
    high = sum(map(len, _HIGH.findall(data)))
    damaged = data.decode("utf-8", errors="replace")
    if damaged.count("\ufffd") * 4 < sum(each > "\x7f" for each in damaged):
        return "utf-8"
    pairs = sum(len(run) // 2 * 2 for run in _HIGH.findall(data) if _CHINESE_PAIR.match(run))
    return "gb18030" if pairs * 10 >= high * 8 else "latin-1"


def read_reports(text: str, *, name: str | None = None) -> Iterator[Intake | TextError]:
    """Tell reports apart; a bad one comes as the error that says why, and the others go on.

    Parameters
    ----------
    text
        Plain text (one report), a JSON object or list of objects, or JSON Lines.
    name
        Id of a plain report.
    """
    if not _JSON_START.match(text):
        yield Intake("the input", name, text)
        return
    try:
        whole = json.loads(text)
    except ValueError as error:
        if "\n" not in text.strip():
            yield TextError(f"the input is no JSON: {error}")
            return
        yield from _read_lines(text)
        return
    if isinstance(whole, list):
        for number, item in enumerate(whole, start=1):
            yield _intake(item, f"item {number}")
    else:
        yield _intake(whole, "the input")


def _read_lines(text: str) -> Iterator[Intake | TextError]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _intake(json.loads(line), f"line {number}")
        except ValueError as error:
            # The decoder's message has positions only; the line itself may name a patient.
            yield TextError(f"line {number} is no JSON: {error}")


def _intake(item: Any, where: str) -> Intake | TextError:
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        return TextError(f'{where}: expected an object with a string "text"')
    if not isinstance(item.get("id"), str | int | None):
        return TextError(f'{where}: "id" is neither a string nor a number')
    for key in ("modality", "body_part", "language"):
        if not isinstance(item.get(key), str | None):
            return TextError(f'{where}: "{key}" is no string')
    language = item.get("language")
    if language is not None and language not in LANGUAGES:
        return TextError(f'{where}: "language" is none of {", ".join(LANGUAGES)}')
    return Intake(
        where,
        item.get("id"),
        _LONE_SURROGATE.sub("\ufffd", item["text"]),
        item.get("modality"),
        item.get("body_part"),
        language,
    )
