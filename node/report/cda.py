"""HL7 CDA documents → text, section by section (LOINC codes as in PS3.20)."""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from node.errors import ReportError
from node.report.heading import compose, section_of

NAMESPACE: Final = "{urn:hl7-org:v3}"
MAX_XML_BYTES: Final = 8 * 2**20
_SPACES: Final = re.compile(r"\s+")
_LINES: Final = frozenset({"br", "paragraph", "item", "tr", "caption", "list", "table", "title"})


def read_cda(content: bytes) -> str:
    """Read the sections of a CDA document, in order, with a heading each.

    Entities and external references are refused, whatever they are for.

    Raises
    ------
    ReportError
        If it is too large, not well formed, unsafe, or without text.
    """
    if len(content) > MAX_XML_BYTES:
        raise ReportError(f"the CDA document has more than {MAX_XML_BYTES} bytes")
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise ReportError(f"the CDA document cannot be read: {type(error).__name__}") from error
    parts = [_part(section) for section in root.iter(f"{NAMESPACE}section")]
    text = compose(parts)
    if not text:
        raise ReportError("the CDA document has no section with text")
    return text


def _part(section: Element) -> tuple[str, str]:
    code = section.find(f"{NAMESPACE}code")
    title = (section.findtext(f"{NAMESPACE}title") or "").strip()
    attributes = {} if code is None else code.attrib
    scheme = attributes.get("codeSystem", "") or attributes.get("codeSystemName", "")
    meaning = attributes.get("displayName", "") or title
    narrative = section.find(f"{NAMESPACE}text")
    return (
        section_of(scheme, attributes.get("code", ""), meaning),
        "" if narrative is None else _lines(narrative),
    )


def _lines(narrative: Element) -> str:
    """Text of a narrative block; every block element and cell begins a line or a gap."""
    words: list[str] = []
    # Not recursive: how deep elements lie is up to the sender.
    todo: list[Element | str] = [narrative]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            words.append(node)
            continue
        name = str(node.tag).rpartition("}")[2].lower()
        after: list[Element | str] = []
        for child in node:
            after.append(child)
            if child.tail:
                after.append(_SPACES.sub(" ", child.tail))
        if name in _LINES:
            words.append("\n")
            after.append("\n")
        elif name in ("td", "th"):
            after.append(" ")
        if node.text:
            words.append(_SPACES.sub(" ", node.text))
        todo.extend(reversed(after))
    lines = (" ".join(line.split()) for line in "".join(words).splitlines())
    return "\n".join(line for line in lines if line)
